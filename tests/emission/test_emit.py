"""What is emitted, and that it depends on the seed, the row and the weights alone."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthdata.data import to_float
from synthdata.emission import read_manifest
from synthdata.emission.run import Run

from .conftest import Emit
from .reading import FINISHED, digests, rows_of


def contents(folder: Path, kind: str) -> list[tuple[dict[str, Any], list[Any]]]:
    return [(metadata, [image.tolist() for image in images]) for metadata, images in rows_of(folder, kind)]


def test_shards_do_not_depend_on_the_batch_size(dataset: Path, emit_to: Emit, tmp_path: Path):
    emit_to(tmp_path / "other", batch_size=200)
    assert digests(tmp_path / "other") == digests(dataset)


def test_shards_do_not_depend_on_the_number_of_workers(dataset: Path, emit_to: Emit, tmp_path: Path):
    for worker in (2, 0, 1):
        finished = emit_to(tmp_path / "other", worker=worker, workers=3).manifest
    assert finished is not None
    assert digests(tmp_path / "other") == digests(dataset)


def test_shards_do_not_depend_on_the_number_of_cores(dataset: Path, emit_to: Emit, tmp_path: Path):
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        emit_to(tmp_path / "other")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert digests(tmp_path / "other") == digests(dataset)


def test_rows_do_not_depend_on_the_shard_size_or_the_number_of_rows(dataset: Path, emit_to: Emit, tmp_path: Path):
    emit_to(tmp_path / "other", hard=11, pairs=7, shard_size=5)
    assert contents(tmp_path / "other", "hard") == contents(dataset, "hard")[:11]
    assert contents(tmp_path / "other", "pairs") == contents(dataset, "pairs")[:7]


def test_another_seed_gives_other_rows(dataset: Path, emit_to: Emit, tmp_path: Path):
    emit_to(tmp_path / "other", seed=1)
    assert not set(digests(tmp_path / "other").values()) & set(digests(dataset).values())


@pytest.mark.parametrize(("kind", "rows", "images"), [("hard", 30, 1), ("pairs", 20, 2)])
def test_every_row_is_there_once_with_its_images(dataset: Path, kind: str, rows: int, images: int):
    emitted = list(rows_of(dataset, kind))
    assert [metadata["index"] for metadata, _ in emitted] == list(range(rows))
    assert all(len(made) == images for _, made in emitted)
    assert all(metadata["seed"] == 0 for metadata, _ in emitted)


@pytest.mark.parametrize("kind", ["hard", "pairs"])
def test_rows_differ(dataset: Path, kind: str):
    assert len({images[0].numpy().tobytes() for _, images in rows_of(dataset, kind)}) > 1
    assert all(not torch.equal(*images) for _, images in rows_of(dataset, "pairs"))


def test_similarity_is_that_of_the_written_images(dataset: Path, run: Run):
    rows, images = zip(*rows_of(dataset, "pairs"), strict=True)
    with torch.inference_mode():
        first, second = (run.encoder(to_float(torch.stack(member))) for member in zip(*images, strict=True))
    expected = (first * second).sum(1).tolist()
    assert [metadata["similarity"] for metadata in rows] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ["hard", "pairs"])
def test_realism_is_the_lower_score_of_the_written_images(dataset: Path, run: Run, kind: str):
    rows, images = zip(*rows_of(dataset, kind), strict=True)
    with torch.inference_mode():
        scores = [run.generator.realism(to_float(torch.stack(member))) for member in zip(*images, strict=True)]
    expected = torch.stack(scores).amin(0).tolist()
    assert [metadata["realism"] for metadata in rows] == pytest.approx(expected, abs=1e-5)


def test_nearest_real_is_the_source_index_of_the_most_similar_training_image(dataset: Path, run: Run):
    assert run.images.pixels is not None
    rows, images = zip(*rows_of(dataset, "pairs"), strict=True)
    with torch.inference_mode():
        real = run.encoder(to_float(run.images.pixels))
        members = [run.encoder(to_float(torch.stack(member))) @ real.T for member in zip(*images, strict=True)]
    position = {int(source): place for place, source in enumerate(run.images.source_indices)}
    for metadata, similarity in zip(rows, torch.stack(members).amax(0), strict=True):
        assert metadata["nearest_similarity"] == pytest.approx(float(similarity.max()), abs=1e-5)
        nearest = similarity[position[metadata["nearest_real"]]]  # of equally similar ones, any
        assert float(nearest) == pytest.approx(metadata["nearest_similarity"], abs=1e-5)


@pytest.mark.parametrize(("kind", "score"), [("hard", "hardness"), ("pairs", "similarity")])
def test_scores_lie_within_the_recorded_criteria(dataset: Path, kind: str, score: str):
    criteria = read_manifest(dataset)["criteria"][kind]
    for metadata, _ in rows_of(dataset, kind):
        assert criteria["band"][0] <= metadata[score] <= criteria["band"][1]
        assert metadata["realism"] >= criteria["realism_floor"]


def test_hard_samples_are_harder_than_what_they_were_chosen_from(dataset: Path):
    columns = read_manifest(dataset)["kinds"]["hard"]["columns"]
    assert columns["hardness"]["mean"] > columns["candidates"]["mean"]


@pytest.mark.parametrize("kind", ["hard", "pairs"])
def test_every_candidate_is_a_row_or_counted_as_dropped(dataset: Path, kind: str):
    counts = read_manifest(dataset)["kinds"][kind]
    assert counts["candidates"] == counts["rows"] + sum(counts["dropped"].values())
    assert sum(counts["columns"]["candidates"]["histogram"]) == counts["candidates"]


@pytest.mark.parametrize(("kind", "score"), [("hard", "hardness"), ("pairs", "similarity")])
def test_the_manifest_sums_up_the_rows(dataset: Path, kind: str, score: str):
    counts = read_manifest(dataset)["kinds"][kind]
    for column in (score, "realism", "nearest_similarity"):
        values = [metadata[column] for metadata, _ in rows_of(dataset, kind)]
        told = counts["columns"][column]
        assert (told["min"], told["max"]) == (min(values), max(values))
        assert told["mean"] == pytest.approx(np.mean(values), abs=1e-6)
        clipped = np.clip(values, told["edges"][0], told["edges"][-1])
        assert told["histogram"] == np.histogram(clipped, told["edges"])[0].tolist()


def test_counts_do_not_depend_on_the_number_of_workers(dataset: Path, emit_to: Emit, tmp_path: Path):
    for worker in range(2):
        emit_to(tmp_path / "other", worker=worker, workers=2)
    assert read_manifest(tmp_path / "other")["kinds"] == read_manifest(dataset)["kinds"]


def test_a_finished_folder_holds_nothing_else(dataset: Path):
    assert sorted(path.name for path in dataset.iterdir()) == FINISHED
    files = {path.relative_to(dataset).as_posix() for path in (dataset / "data").rglob("*") if path.is_file()}
    assert files == set(digests(dataset))


def test_the_manifest_names_models_source_versions_and_command(dataset: Path, run: Run):
    manifest = read_manifest(dataset)
    assert manifest["run"] == run.identity
    assert all(len(digest) == 64 for digest in manifest["run"]["generator"]["sha256"].values())
    assert manifest["run"]["source"]["data"] == "digits"
    assert manifest["made_with"]["versions"]["torch"] == version("torch")
    assert "--hard 30 --pairs 20 --shard_size 8" in manifest["made_with"]["command"]


def test_the_manifest_names_no_folder_outside_the_working_directory(dataset: Path):
    assert str(dataset.parent) not in (dataset / "manifest.json").read_text()
