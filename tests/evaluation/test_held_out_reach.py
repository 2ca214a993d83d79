import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from synthdata.data import DataConfig, RealData, load_images
from synthdata.data.source import SourceSplit
from synthdata.errors import MisuseError
from synthdata.evaluation import extract_features
from synthdata.evaluation.held_out_reach import HeldOutReach, held_out_reach
from synthdata.evaluation.reach import label_reach
from synthdata.models import Encoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> RealData:
    """300 validation and 300 test images."""
    return load_images(DataConfig("digits", image_size=16))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Of 8 features."""
    torch.manual_seed(0)
    return Encoder("resnet8", image_size=16, channels=1, width=2, hidden_dim=8, projection_dim=6).eval()


@pytest.fixture(scope="module")
def reached(encoder: Encoder, digits: RealData) -> HeldOutReach:
    return held_out_reach(encoder, digits, CPU, draws=3)


def relabelled(data: RealData, split: str, change: Tensor) -> RealData:
    """``data`` with ``change`` (N,) as the labels of all rows of one split."""
    images = getattr(data, split)
    copied = images.subset(torch.arange(len(images)))
    copied._split = SourceSplit(images._split.rows, change)
    return replace(data, **{split: copied})


def test_a_draw_is_of_ten_held_out_images_for_each_feature(reached: HeldOutReach) -> None:
    assert reached.held_out == 600
    assert [(draw.images, draw.features) for draw in reached.draws] == [(80, 8)] * 3
    assert len({draw.reach for draw in reached.draws}) == 3


def test_the_labels_of_training_images_are_never_looked_at(
    encoder: Encoder, digits: RealData, reached: HeldOutReach
) -> None:
    wrong = torch.zeros(1197, dtype=torch.long)
    poisoned = relabelled(relabelled(digits, "train", wrong), "labelled", wrong)
    assert held_out_reach(encoder, poisoned, CPU, draws=3) == reached


def test_a_draw_of_all_images_is_made_once(encoder: Encoder, digits: RealData) -> None:
    """And is the label reach of the validation and test images together."""
    everything = held_out_reach(encoder, digits, CPU, draws=3, images=600)
    splits = (digits.validation, digits.test)
    features = torch.cat([extract_features(encoder, split, CPU) for split in splits])
    labels = torch.cat([split.labels for split in splits if split.labels is not None])
    (only,) = everything.draws
    expected = label_reach(features, labels, 10)
    assert (only.reach, only.floors) == (pytest.approx(expected.reach), pytest.approx(expected.floors))
    alone = held_out_reach(encoder, digits, CPU, draws=1, images=300, test=False)
    assert alone.held_out == 300


def test_images_without_a_label_are_left_out(encoder: Encoder, digits: RealData) -> None:
    labels = digits.test.labels
    assert labels is not None
    part = labels.clone()
    part[::2] = -1
    assert held_out_reach(encoder, relabelled(digits, "test", part), CPU, draws=1).held_out == 450


def test_the_report_names_the_least_reachable_classes_first(reached: HeldOutReach) -> None:
    content = reached.as_json()
    floors = [floor["mean"] for floor in content["floors"].values()]
    assert floors == sorted(floors, reverse=True)
    assert content["floors"].keys() == {str(digit) for digit in range(10)}
    assert content["chance"]["mean"] == pytest.approx(reached.draws[0].rank / 79, abs=1e-3)
    first = next(iter(content["floors"]))
    told = str(reached)
    assert f"least reachable, with the share out of reach: {first} (" in told
    assert "80 of 600 held-out images, 8 features" in told
    assert f"(chance {content['chance']['mean']:.2f})" in told


@pytest.mark.parametrize(
    ("width", "images", "told"),
    [
        (16, None, "too few images for 64 features: 600 of 600 held-out labelled images, .* fewer than 640"),
        (2, 50, "too few images for 8 features: 50 of 600 held-out labelled images, .* fewer than 80"),
    ],
)
def test_where_chance_reaches_too_much_the_reason_is_told(
    digits: RealData, width: int, images: int | None, told: str
) -> None:
    encoder = Encoder("resnet8", image_size=16, channels=1, width=width, hidden_dim=8, projection_dim=6)
    refused = held_out_reach(encoder, digits, CPU, draws=2, images=images)
    assert refused.draws == []
    assert refused.refused is not None
    assert re.fullmatch(told, refused.refused)
    assert refused.as_json() == {"refused": refused.refused}
    assert str(refused) == f"not measured: {refused.refused}"


def test_one_class_alone_is_refused(encoder: Encoder, digits: RealData) -> None:
    threes = torch.full((300,), 3)
    data = relabelled(relabelled(digits, "test", threes), "validation", threes)
    assert held_out_reach(encoder, data, CPU, draws=2).refused == (
        "all 80 images have the same label: label reach needs two classes"
    )


def test_more_images_than_there_are_is_misuse(encoder: Encoder, digits: RealData) -> None:
    with pytest.raises(MisuseError, match="reach_images asks for 601 held-out labelled images of 600"):
        held_out_reach(encoder, digits, CPU, draws=2, images=601)
