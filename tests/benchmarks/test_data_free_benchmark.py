"""The benchmark of a classifier's replay, on next to nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_classifiers import SMALL, small_classifier

from synthdata.benchmarks.data_free import DataFreeBenchmarkConfig, data_free_table, read_replay
from synthdata.data import DataConfig
from synthdata.emission import read_manifest
from synthdata.errors import MisuseError
from synthdata.evaluation.finetune import FineTuningConfig
from synthdata.models import EncoderConfig
from synthdata.training.distil import DistilTrainConfig


def test_students_are_told_beside_their_classifier_and_the_control(tmp_path: Path):
    config = DataFreeBenchmarkConfig(
        data=DataConfig("digits", image_size=16),
        encoder=EncoderConfig(width=8),
        labels=400,
        teaching=FineTuningConfig(steps=80, learning_rate=5e-3),
        learning=FineTuningConfig(steps=5),
        generator=SMALL,
        train=DistilTrainConfig(steps=2, batch_size=16),
        rows=40,
        seeds=1,
        output=str(tmp_path / "out"),
    )
    table = data_free_table(config)
    numbers = {line[:50].strip(): float(line[50:].split()[0]) for line in table.splitlines()[1:]}
    assert numbers["classifier, top-1 %"] > 30
    for arm in ("replay", "untrained", "real images"):
        assert 0 <= numbers[f"student of {arm}, top-1 %"] <= 100
    assert 0 < numbers["nearest training image to held-out, RMS, median"] < 0.5
    assert 0 <= numbers["near copies among held-out, %"] < 30
    assert data_free_table(config) == table  # what is there already is kept
    with pytest.raises(MisuseError, match="was measured with other settings: name another --output"):
        data_free_table(replace(config, rows=50))
    dataset = tmp_path / "out" / "seed-0" / "replay" / "dataset"
    replay = read_replay(dataset)
    counts = read_manifest(dataset)["kinds"]["replay"]["columns"]["label"]["histogram"]
    assert replay.labels.bincount(minlength=10).tolist() == counts
    assert replay.images.pixels is not None
    assert replay.images.pixels.shape == (40, 1, 16, 16)


def test_a_classifier_of_other_classes_is_refused(tmp_path: Path):
    small_classifier().save_pretrained(tmp_path / "classifier")
    data = DataConfig("digits", image_size=16)
    config = DataFreeBenchmarkConfig(str(tmp_path / "classifier"), data, output=str(tmp_path / "out"))
    with pytest.raises(MisuseError, match="does not have the classes and channels of digits"):
        data_free_table(config)
