"""Precision and recall, against the definition written out point by point."""

import math

import pytest
import torch
from torch import Tensor

from synthdata.evaluation import precision_recall


def points(count: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) * scale + shift


def share_inside(queries: list[list[float]], members: list[list[float]], neighbours: int) -> float:
    radii = [
        sorted(math.dist(member, other) for place, other in enumerate(members) if place != own)[neighbours - 1]
        for own, member in enumerate(members)
    ]
    inside = [
        any(math.dist(query, member) <= radius for member, radius in zip(members, radii, strict=True))
        for query in queries
    ]
    return sum(inside) / len(inside)


@pytest.mark.parametrize("neighbours", [1, 3, 5])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.3), (0.5, 2.0)])
def test_precision_and_recall_are_those_of_the_definition(neighbours: int, shift: float, scale: float):
    real, synthetic = points(60, 0), points(45, 1, shift, scale)
    expected = (
        share_inside(synthetic.tolist(), real.tolist(), neighbours),
        share_inside(real.tolist(), synthetic.tolist(), neighbours),
    )
    assert precision_recall(real, synthetic, neighbours) == pytest.approx(expected)


def test_many_points_are_compared_as_few_are():
    real, synthetic = points(700, 0), points(600, 1, 0.5)
    expected = share_inside(synthetic.tolist(), real.tolist(), 3)
    assert precision_recall(real, synthetic)[0] == pytest.approx(expected)


def test_copies_of_the_real_images_score_one():
    real = points(50, 0)
    assert precision_recall(real, real) == (1.0, 1.0)


def test_images_far_from_the_real_ones_score_zero():
    assert precision_recall(points(50, 0), points(50, 1, shift=100)) == (0.0, 0.0)


def test_one_mode_of_two_is_precise_and_lacks_recall():
    left, right = points(100, 0, shift=-20), points(100, 1, shift=20)
    precision, recall = precision_recall(torch.cat([left, right]), points(100, 2, shift=-20))
    assert precision > 0.8
    assert recall == pytest.approx(0.5, abs=0.1)


def test_fewer_features_than_neighbours_are_refused():
    with pytest.raises(ValueError, match="3 neighbours"):
        precision_recall(points(3, 0), points(50, 1))
