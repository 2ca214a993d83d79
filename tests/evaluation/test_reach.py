import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.evaluation.reach import label_reach
from synthdata.rng import generator_at

CLASSES = 10


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """The pixels of 500 digits, of which some are constant, and their labels."""
    loaded = load_digits()
    return torch.from_numpy(loaded.data[:500]), torch.from_numpy(loaded.target[:500])


def one_hot(labels: Tensor) -> np.ndarray:
    return np.eye(CLASSES)[labels.numpy()]


def permuted(labels: Tensor, number: int) -> Tensor:
    return labels[torch.randperm(len(labels), generator=generator_at("permuted", number))]


def test_reach_is_the_r2_of_least_squares(digits: tuple[Tensor, Tensor]) -> None:
    features, labels = digits
    fitted = LinearRegression().fit(features.numpy(), one_hot(labels)).predict(features.numpy())
    measured = label_reach(features, labels, CLASSES)
    assert measured.reach == pytest.approx(r2_score(one_hot(labels), fitted, multioutput="variance_weighted"))
    by_class = r2_score(one_hot(labels), fitted, multioutput="raw_values")
    assert measured.floors == pytest.approx(tuple(1 - by_class))
    assert (measured.images, measured.features) == (500, 64)
    assert measured.rank == np.linalg.matrix_rank(features.numpy() - features.numpy().mean(0)) < 64


def test_chance_is_what_permuted_labels_reach(digits: tuple[Tensor, Tensor]) -> None:
    features, labels = digits
    reached = [label_reach(features, permuted(labels, i), CLASSES) for i in range(100)]
    values = np.array([each.reach for each in reached])
    assert values.mean() == pytest.approx(reached[0].rank / 499, abs=3 * values.std(ddof=1) / 10)
    assert reached[0].chance == reached[0].rank / 499
    assert np.mean([each.excess for each in reached]) == pytest.approx(0, abs=0.005)


def test_invertible_affine_maps_of_the_features_change_nothing_but_the_profile(digits: tuple[Tensor, Tensor]) -> None:
    features, labels = digits
    mapped = features @ torch.randn(64, 64, generator=generator_at("map"), dtype=torch.float64) + 3
    before, after = label_reach(features, labels, CLASSES), label_reach(mapped, labels, CLASSES)
    assert (after.reach, after.excess, after.rank) == pytest.approx((before.reach, before.excess, before.rank))
    assert after.floors == pytest.approx(before.floors)


def test_features_that_hold_the_labels_reach_all_of_them(digits: tuple[Tensor, Tensor]) -> None:
    features, labels = digits
    measured = label_reach(torch.cat([features, torch.from_numpy(one_hot(labels))], 1), labels, CLASSES)
    assert (measured.reach, measured.excess) == pytest.approx((1, 1))
    assert measured.floors == pytest.approx((0,) * CLASSES, abs=1e-9)


def test_excess_falls_with_the_square_of_the_labels_that_stay(digits: tuple[Tensor, Tensor]) -> None:
    """A label redrawn with probability q keeps 1 - q of its covariance with the features, and all of its variance."""
    features, labels = digits
    excesses = []
    for i in range(40):
        generator = generator_at("noise", i)
        redrawn = torch.rand(len(labels), generator=generator) < 0.4
        noisy = torch.where(redrawn, torch.randint(CLASSES, labels.shape, generator=generator), labels)
        excesses.append(label_reach(features, noisy, CLASSES).excess)
    assert np.mean(excesses) == pytest.approx(0.6**2 * label_reach(features, labels, CLASSES).excess, rel=0.05)


def test_the_profile_counts_the_leading_directions_that_hold_the_reached_labels() -> None:
    labels = torch.arange(200) % 2
    signal = (2.0 * labels - 1)[:, None]
    noise = torch.randn(200, 5, generator=generator_at("profile"))
    strong = label_reach(torch.cat([100 * signal, noise], 1), labels, 2)
    weak = label_reach(torch.cat([0.01 * signal, noise], 1), labels, 2)
    assert (strong.k50, strong.k90) == (1, 1)
    assert (weak.k50, weak.k90) == (6, 6)
    assert strong.reach == pytest.approx(weak.reach) == pytest.approx(1)


def test_a_class_that_the_features_do_not_tell_has_the_highest_floor(digits: tuple[Tensor, Tensor]) -> None:
    _, labels = digits
    told = torch.from_numpy(one_hot(labels))[:, 2:]  # 0 and 1 look alike
    floors = label_reach(told, labels, CLASSES).floors
    assert floors[2:] == pytest.approx((0,) * 8, abs=1e-9)
    assert all(floor is not None and 0.3 < floor < 0.7 for floor in floors[:2])


def test_a_class_without_an_image_has_no_floor_and_changes_nothing(digits: tuple[Tensor, Tensor]) -> None:
    features, labels = digits
    with_one_more = label_reach(features, labels, CLASSES + 1)
    assert with_one_more.floors[CLASSES] is None
    assert with_one_more.reach == label_reach(features, labels, CLASSES).reach


def test_features_that_are_all_alike_reach_nothing(digits: tuple[Tensor, Tensor]) -> None:
    measured = label_reach(torch.ones(500, 4), digits[1], CLASSES)
    assert (measured.reach, measured.chance, measured.excess, measured.k50, measured.k90) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("features", "labels", "told"),
    [
        (torch.randn(30, 40), torch.arange(30) % 3, "30 images have features of rank 29, which reach any labels"),
        (torch.randn(11, 9), torch.arange(11) % 3, "rank 9"),
        (torch.randn(30, 4), torch.ones(30, dtype=torch.long), "all 30 images have the same label"),
        (torch.randn(2, 4), torch.arange(2), "2 labelled images are fewer than the 3 classes"),
        (torch.full((30, 4), torch.nan), torch.arange(30) % 3, "features are not finite"),
    ],
)
def test_what_has_no_label_reach_is_refused_in_one_line(features: Tensor, labels: Tensor, told: str) -> None:
    if told == "rank 9":
        assert label_reach(features, labels, 3).rank == 9  # one image more than would be reached whatever its label
        features, labels = features[:10], labels[:10]
    with pytest.raises(MisuseError, match=told):
        label_reach(features, labels, 3)
