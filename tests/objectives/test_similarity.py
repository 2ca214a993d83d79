import math
from itertools import pairwise

import pytest
import torch

from synthdata.objectives import pair_similarity, similarity_loss, similarity_target
from synthdata.rng import generator_at


def test_pair_similarity_is_the_cosine_of_each_pair() -> None:
    a, b = torch.randn(2, 5, 4, generator=generator_at("pairs"), dtype=torch.float64)
    for x, y, value in zip(a.tolist(), b.tolist(), pair_similarity(a, b).tolist(), strict=True):
        expected = sum(p * q for p, q in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))
        assert value == pytest.approx(expected, rel=1e-9)


def test_the_target_falls_from_initial_to_final_and_stays_there() -> None:
    targets = [similarity_target(progress / 20, 0.95, 0.6) for progress in range(21)]
    assert targets[0] == pytest.approx(0.95)
    assert targets[10] == pytest.approx((0.95 + 0.6) / 2)
    assert targets[20] == pytest.approx(0.6)
    assert all(later < earlier for earlier, later in pairwise(targets))
    assert similarity_target(1.7, 0.95, 0.6) == pytest.approx(0.6)
    assert similarity_target(-0.1, 0.95, 0.6) == pytest.approx(0.95)


@pytest.mark.parametrize(("similarity", "direction"), [(0.3, 1), (0.9, -1)])
def test_pairs_are_drawn_to_the_target_from_both_sides(similarity: float, direction: int) -> None:
    value = torch.tensor([similarity], requires_grad=True)
    loss = similarity_loss(value, 0.6)
    assert loss.item() == pytest.approx((similarity - 0.6) ** 2)
    loss.backward()
    assert value.grad is not None
    assert -value.grad.item() * direction > 0
