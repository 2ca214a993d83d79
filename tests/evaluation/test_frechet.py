import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from synthdata.evaluation import frechet_distance
from synthdata.rng import generator_at


def features(purpose: str, count: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    generator = generator_at(purpose)
    mixed = torch.randn(count, 5, generator=generator) @ torch.randn(5, 5, generator=generator)
    return mixed * scale + shift


def test_it_is_heusels_formula_with_a_matrix_square_root() -> None:
    x, y = features("x", 50), features("y", 80, scale=0.5, shift=1.0)
    a, b = (np.cov(z.double().numpy(), rowvar=False) for z in (x, y))
    difference = (x.double().mean(0) - y.double().mean(0)).numpy()
    expected = difference @ difference + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-6)


def test_equal_sets_are_at_distance_zero() -> None:
    x = features("x", 50)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_a_shift_costs_its_squared_length() -> None:
    x = features("x", 50)
    assert frechet_distance(x, x + 2.0) == pytest.approx(5 * 2.0**2, rel=1e-5)


def test_fewer_samples_than_dimensions_are_no_obstacle() -> None:
    x = features("x", 3)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-5)
