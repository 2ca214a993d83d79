"""What the card of a dataset says, and that what it says works."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard
from PIL import Image

from synthdata.cli import main
from synthdata.emission import read_manifest, verify_dataset
from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.publishing.card import write_dataset_card
from synthdata.publishing.complete import complete_dataset
from synthdata.publishing.sources import describe_source

from .conftest import RunSnippets


def text_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def rewritten(dataset: Path, folder: Path, **changes: Any) -> str:
    """The card of ``dataset`` when its manifest has other parts; a part that is None is taken out."""
    folder.mkdir(parents=True)
    manifest = {name: part for name, part in (read_manifest(dataset) | changes).items() if part is not None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_dataset_card(folder)
    return text_of(folder)


def test_every_snippet_of_a_tar_dataset_runs(tar_dataset: Path, run_snippets: RunSnippets):
    whole, stream, shards = run_snippets(tar_dataset, tar_dataset.parent)
    assert "'hardness'" in whole
    assert len(stream.splitlines()) == len(shards.splitlines()) == 20
    assert [line.split()[-1] for line in stream.splitlines()] == [line.split()[-1] for line in shards.splitlines()]


def test_every_snippet_of_a_parquet_dataset_runs(parquet_dataset: Path, run_snippets: RunSnippets):
    whole, stream, table = run_snippets(parquet_dataset, parquet_dataset.parent)
    assert "image_b" in whole
    assert len(stream.splitlines()) == 12
    assert "similarity" in table


def test_load_dataset_tells_datasets_of_one_name_apart(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    hardness = []
    for seed in (0, 1):
        output = tmp_path / str(seed) / "same"
        emit(EmissionConfig(run=str(finished_run), output=str(output), hard=4, seed=seed))
        complete_dataset(output)
        hardness.append([row["json"]["hardness"] for row in load_dataset(str(output), "hard", split="train")])
    assert hardness[0] != hardness[1]


def test_the_header_is_what_the_hub_reads(tar_dataset: Path):
    data = DatasetCard.load(tar_dataset / "README.md").data
    assert data.license == "cc-by-4.0"
    assert data.size_categories == ["n<1K"]
    assert data.tags == ["synthetic", "contrastive-learning", "webdataset"]
    assert [config["config_name"] for config in data.to_dict()["configs"]] == ["hard", "pairs"]


def test_a_licence_that_was_not_given_is_not_told(parquet_dataset: Path):
    assert DatasetCard.load(parquet_dataset / "README.md").data.license is None
    assert "license" not in text_of(parquet_dataset)


@pytest.mark.parametrize("dataset", ["tar_dataset", "parquet_dataset"])
def test_a_card_holds_no_placeholder_and_no_date(dataset: str, request: pytest.FixtureRequest):
    text = text_of(request.getfixturevalue(dataset))
    assert not re.findall(r"None|nan|\{\{|\{%|Information Needed|TODO|OWNER|20\d\d-\d\d", text)
    assert "\n\n\n" not in text


def test_what_the_run_did_not_report_has_no_line(tar_dataset: Path, tmp_path: Path):
    known = text_of(tar_dataset)
    unknown = rewritten(tar_dataset, tmp_path / "unknown" / "tar", training={}, fidelity={"hard": None, "pairs": None})
    for words in ("linear probe", "encoder steps", "Fréchet distance |"):
        assert words in known
        assert words not in unknown
    assert rewritten(tar_dataset, tmp_path / "older" / "tar", training=None, fidelity=None) == unknown


def test_the_card_tells_the_counts_of_the_manifest(tar_dataset: Path):
    text, manifest = text_of(tar_dataset), read_manifest(tar_dataset)
    for counts in manifest["kinds"].values():
        assert f"{counts['candidates']:,} candidates were drawn for {counts['rows']:,} rows" in text
        for count in counts["dropped"].values():
            assert re.search(rf"\| {count:,} \| {100 * count / counts['candidates']:.1f} % \|", text)
    assert manifest["made_with"]["command"] in text


def test_the_card_tells_the_accuracies_of_the_report(tar_dataset: Path, finished_run: Path):
    report = json.loads((finished_run / "report.json").read_text())
    assert f"| linear probe | {report['linear_top1']} % |" in text_of(tar_dataset)
    assert f"| k-NN | {report['knn_top1']} % |" in text_of(tar_dataset)


def test_the_manifest_compares_with_real_images(tar_dataset: Path):
    for scores in read_manifest(tar_dataset)["fidelity"].values():
        assert scores["images"] == 64  # half of the training images
        assert scores["frechet_distance"] > scores["real"]["frechet_distance"]
        assert scores["real"]["precision"] > scores["precision"]


@pytest.mark.parametrize("name", ["hardness", "similarity"])
def test_a_histogram_is_a_picture_with_something_in_it(tar_dataset: Path, name: str):
    assert f"](assets/{name}.png)" in text_of(tar_dataset)
    pixels = np.array(Image.open(tar_dataset / "assets" / f"{name}.png").convert("RGB")).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0]) > 50
    assert blue.sum() > 500


def test_a_lost_card_is_restored_as_it_was(tar_dataset: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tar_dataset, tmp_path / "tar"))
    shutil.rmtree(folder / "assets")
    (folder / "README.md").unlink()
    complete_dataset(folder)
    for file in ("README.md", "assets/hardness.png", "assets/similarity.png"):
        assert (folder / file).read_bytes() == (tar_dataset / file).read_bytes()


def test_a_dataset_with_its_card_is_sound(tar_dataset: Path):
    assert verify_dataset(tar_dataset) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("imagefolder:/home/ada/photos", "`imagefolder:photos`"),
        ("wds:/data/secret/train-*.tar", "`wds:train-*.tar`"),
        ("torchvision:CIFAR10", "CIFAR10 as torchvision downloads it"),
        ("hf:ada/moths:small", "[ada/moths:small](https://huggingface.co/datasets/ada/moths)"),
    ],
)
def test_a_source_is_told_without_the_folders_of_this_machine(source: str, told: str):
    assert describe_source(source)["description"] == told


def test_only_a_dataset_on_the_hub_is_linked(tmp_path: Path):
    assert describe_source("hf:ada/moths")["repository"] == "ada/moths"
    assert "repository" not in describe_source(f"hf:{tmp_path}")
    assert "license" not in describe_source("hf:ada/moths")


def test_a_card_that_is_there_is_left_alone(tar_dataset: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tar_dataset, tmp_path / "tar"))
    (folder / "README.md").write_text("by hand")
    complete_dataset(folder)
    assert text_of(folder) == "by hand"


def emit_half(run: Path, output: Path, worker: int) -> None:
    emit(EmissionConfig(run=str(run), output=str(output), hard=4, shard_size=2, worker=worker, workers=2))


def test_the_last_worker_to_finish_writes_the_card(finished_run: Path, tmp_path: Path):
    for worker, finished in ((0, False), (1, True)):
        emit_half(finished_run, tmp_path / "out", worker)
        complete_dataset(tmp_path / "out")
        assert (tmp_path / "out" / "README.md").exists() == finished


def test_a_card_older_than_its_manifest_makes_room_for_the_true_one(finished_run: Path, tmp_path: Path):
    for worker in (0, 1):
        emit_half(finished_run, tmp_path / "out", worker)
        if worker == 0:
            (tmp_path / "out" / "README.md").write_text("of another dataset")
    complete_dataset(tmp_path / "out")
    assert "of another dataset" not in text_of(tmp_path / "out")


def test_a_card_that_several_processes_miss_is_written_once(tar_dataset: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tar_dataset, tmp_path / "tar"))
    (folder / "README.md").unlink()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(complete_dataset, [folder] * 4))
    assert text_of(folder) == text_of(tar_dataset)
    assert not list(folder.glob(".*"))


def test_finish_restores_a_lost_card(tar_dataset: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tar_dataset, tmp_path / "tar"))
    (folder / "README.md").unlink()
    with pytest.raises(SystemExit, match="0"):
        main(["finish", str(folder)])
    assert text_of(folder) == text_of(tar_dataset)
