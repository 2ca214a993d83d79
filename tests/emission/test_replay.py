"""Rows that stand in for a classifier's training images."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_classifiers import CLASSES, small_data_free

from synthdata.data import PairsConfig, load_pairs, to_float
from synthdata.emission import read_manifest, verify_dataset
from synthdata.emission.config import EmissionConfig
from synthdata.emission.dataset import Emission
from synthdata.emission.emit import emit
from synthdata.errors import FailureError, MisuseError
from synthdata.publishing.complete import complete_dataset

from .reading import digests, rows_of

EmitReplay = Callable[..., Emission]


@pytest.fixture(scope="module")
def emit_replay(tmp_path_factory: pytest.TempPathFactory) -> EmitReplay:
    """Emit 30 rows into a folder, in shards of 8, unless told otherwise."""
    run = tmp_path_factory.mktemp("runs") / "free"
    small_data_free().save_pretrained(run / "generator")

    def emit_into(output: Path, **changes: object) -> Emission:
        settings = {"run": str(run), "replay": 30, "shard_size": 8, **changes}
        emission = emit(EmissionConfig(output=str(output), **settings))  # type: ignore[arg-type]
        complete_dataset(output)
        return emission

    return emit_into


@pytest.fixture(scope="module")
def replay(emit_replay: EmitReplay, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset that no test may change."""
    output = tmp_path_factory.mktemp("datasets") / "replay"
    emit_replay(output)
    return output


def test_every_row_has_the_classifiers_answer_to_its_written_image(replay: Path):
    rows = list(rows_of(replay, "replay"))
    assert [metadata["index"] for metadata, _ in rows] == list(range(30))
    classifier = small_data_free().classifier
    answers = classifier(to_float(torch.stack([images[0] for _, images in rows]))).softmax(1)
    assert [metadata["label"] for metadata, _ in rows] == answers.argmax(1).tolist()
    assert len({metadata["label"] for metadata, _ in rows}) > 1
    told = torch.tensor([metadata["confidence"] for metadata, _ in rows])
    torch.testing.assert_close(told, answers.amax(1), atol=1e-5, rtol=0)
    assert rows[0][0].keys() == {"index", "seed", "label", "confidence"}


def test_the_manifest_counts_labels_and_names_classes(replay: Path):
    manifest, labels = read_manifest(replay), [metadata["label"] for metadata, _ in rows_of(replay, "replay")]
    assert manifest["run"]["source"]["classes"] == CLASSES
    counts = manifest["kinds"]["replay"]["columns"]["label"]["histogram"]
    assert counts == [labels.count(number) for number in range(len(CLASSES))]
    assert verify_dataset(replay) == []


def test_shards_do_not_depend_on_the_batch_size(replay: Path, emit_replay: EmitReplay, tmp_path: Path):
    emit_replay(tmp_path / "other", batch_size=200)
    assert digests(tmp_path / "other") == digests(replay)


def test_shards_do_not_depend_on_the_number_of_processes(replay: Path, emit_replay: EmitReplay, tmp_path: Path):
    for worker in (2, 0, 1):
        finished = emit_replay(tmp_path / "other", worker=worker, workers=3).manifest
    assert finished is not None
    assert digests(tmp_path / "other") == digests(replay)


def test_rows_do_not_depend_on_how_many_there_are(replay: Path, emit_replay: EmitReplay, tmp_path: Path):
    emit_replay(tmp_path / "other", replay=11, shard_size=5)
    ours = [(metadata, images[0].tolist()) for metadata, images in rows_of(tmp_path / "other", "replay")]
    assert ours == [(metadata, images[0].tolist()) for metadata, images in rows_of(replay, "replay")][:11]


def test_no_row_is_less_sure_than_was_asked_for(replay: Path, emit_replay: EmitReplay, tmp_path: Path):
    confidence = sorted(metadata["confidence"] for metadata, _ in rows_of(replay, "replay"))
    least = confidence[10]
    manifest = emit_replay(tmp_path / "sure", least_confidence=least).manifest
    assert manifest is not None
    assert min(metadata["confidence"] for metadata, _ in rows_of(tmp_path / "sure", "replay")) >= least
    summary = manifest["kinds"]["replay"]
    assert summary["dropped"]["unsure"] >= 10
    assert summary["candidates"] == 30 + summary["dropped"]["unsure"]


def test_more_confidence_than_there_is_ends_in_one_line(emit_replay: EmitReplay, tmp_path: Path):
    with pytest.raises(FailureError, match=r"the classifier is sure enough of: lower --least_confidence 1\.0"):
        emit_replay(tmp_path / "none", least_confidence=1.0, replay=3)


def test_contrastive_training_reads_a_row_as_one_image_twice(replay: Path):
    pairs = load_pairs(PairsConfig(str(replay), kinds="replay"))
    first = next(rows_of(replay, "replay"))[1][0]
    assert len(pairs) == 30
    assert all(torch.equal(image, first) for image in pairs[0])


def test_replay_needs_a_data_free_generator_and_comes_alone(run_folder: Path, emit_replay: EmitReplay, tmp_path: Path):
    with pytest.raises(MisuseError, match="has a generator of kind gan, and --replay takes one that recipes/distil"):
        emit_replay(tmp_path / "other", run=str(run_folder))
    with pytest.raises(MisuseError, match="replay comes from a run without an encoder"):
        emit_replay(tmp_path / "other", hard=3)


def test_a_dataset_of_an_earlier_version_is_still_completed(dataset: Path, run_folder: Path, tmp_path: Path):
    """Its manifest lacks the settings that came since."""
    folder = tmp_path / "old"
    emit(EmissionConfig(run=str(run_folder), output=str(folder), hard=30, pairs=20, shard_size=8))
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("replay", "least_confidence"):
        del manifest["settings"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lost = folder / manifest["shards"][0]["path"]
    lost.unlink()
    emission = emit(EmissionConfig(run=str(run_folder), output=str(folder), hard=30, pairs=20, shard_size=8))
    assert emission.rows == manifest["shards"][0]["rows"]
    assert digests(folder) == digests(dataset)
