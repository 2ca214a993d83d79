from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from synthdata.data import DataConfig, RealData, load_images, to_float
from synthdata.errors import FailureError
from synthdata.evaluation import extract_features, score_encoder
from synthdata.models import Encoder

CPU = torch.device("cpu")


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder("resnet8", image_size=16, channels=1, width=4, hidden_dim=8, projection_dim=6)


@pytest.fixture(scope="module")
def digits() -> RealData:
    return load_images(DataConfig("digits", image_size=16, limit=100))


@pytest.fixture
def folder_of_classes(tmp_path: Path) -> Callable[[list[str]], Path]:
    def make(classes: list[str]) -> Path:
        for shade, name in enumerate(classes):
            (tmp_path / name).mkdir()
            for i in range(12):
                Image.new("L", (16, 16), 60 * shade + i).save(tmp_path / name / f"{i:02}.png")
        return tmp_path

    return make


def test_features_are_those_of_evaluation_mode_and_leave_the_encoder_as_it_was(
    encoder: Encoder, digits: RealData
) -> None:
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    features = extract_features(encoder, digits.train, CPU)
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    with torch.no_grad():
        pixels = torch.stack([digits.train[i] for i in range(100)])
        expected = encoder.eval().features(to_float(pixels))
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)


def test_features_of_images_on_disk_are_those_of_images_in_memory(encoder: Encoder) -> None:
    config = DataConfig("digits", image_size=16, limit=40)
    in_memory, on_disk = (load_images(replace(config, resident_gib=gib)) for gib in (4.0, 0.0))
    assert on_disk.train.pixels is None
    features = extract_features(encoder, in_memory.train, CPU, limit=30)
    assert features.shape == (30, encoder.feature_dim)
    torch.testing.assert_close(extract_features(encoder, on_disk.train, CPU, limit=30), features)


def test_the_limit_of_training_images_does_not_limit_the_probe(encoder: Encoder, digits: RealData) -> None:
    assert len(digits.train) == 100
    limited = score_encoder(encoder, digits, CPU, limit=100)
    assert score_encoder(encoder, digits, CPU)["linear_top1"] > limited["linear_top1"]


def test_without_the_test_split_only_validation_scores_are_given(encoder: Encoder, digits: RealData) -> None:
    budgets = [10, 5000]
    scores = score_encoder(encoder, digits, CPU, limit=200, label_budgets=budgets)
    names = {"linear_top1", "knn_top1", "linear_10_labels_top1"}
    assert scores.keys() == names | {f"validation_{name}" for name in names}
    without = score_encoder(encoder, digits, CPU, limit=200, label_budgets=budgets, score_test=False)
    assert without == {name: value for name, value in scores.items() if name.startswith("validation_")}


def test_images_of_two_classes_are_scored(encoder: Encoder, folder_of_classes: Callable[[list[str]], Path]) -> None:
    data = load_images(DataConfig(f"imagefolder:{folder_of_classes(['dark', 'light'])}", image_size=16))
    assert 0 <= score_encoder(encoder, data, CPU)["linear_top1"] <= 100


def test_unlabelled_images_have_no_scores(encoder: Encoder, folder_of_classes: Callable[[list[str]], Path]) -> None:
    data = load_images(DataConfig(f"imagefolder:{folder_of_classes(['only'])}", image_size=16))
    assert score_encoder(encoder, data, CPU) == {}


def test_one_class_among_the_limited_images_has_no_scores(encoder: Encoder, digits: RealData) -> None:
    assert score_encoder(encoder, digits, CPU, limit=1) == {}


def test_features_that_are_infinite_are_no_matter_for_a_probe(encoder: Encoder, digits: RealData) -> None:
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter *= 1e30
    with pytest.raises(FailureError, match="the loss is not finite: the encoder's features became infinite"):
        score_encoder(encoder, digits, CPU)
