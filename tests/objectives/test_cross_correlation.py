import numpy as np
import pytest
import torch
from torch import Tensor

from synthdata.objectives import barlow_twins, cross_correlation, log_distillation
from synthdata.rng import generator_at


def embeddings(number: int, rows: int = 32, dimension: int = 6) -> Tensor:
    return torch.randn(rows, dimension, generator=generator_at("embeddings", number), dtype=torch.float64) * 3 + 1


def test_barlow_twins_is_the_published_formula() -> None:
    first, second = embeddings(1).numpy(), embeddings(2).numpy()
    standard = [(rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) for rows in (first, second)]
    expected = 0.0
    for i in range(6):
        for j in range(6):
            entry = (standard[0][:, i] * standard[1][:, j]).sum() / 32
            expected += (1 - entry) ** 2 if i == j else 0.005 * entry**2
    assert float(barlow_twins(embeddings(1), embeddings(2))) == pytest.approx(expected, rel=1e-9)


def test_barlow_twins_is_lightlys() -> None:
    lightly = pytest.importorskip("lightly.loss")
    first, second = embeddings(1), embeddings(2)
    assert float(barlow_twins(first, second)) == pytest.approx(
        float(lightly.BarlowTwinsLoss()(first, second)), rel=1e-5
    )


def test_cross_correlation_is_that_of_numpy() -> None:
    first, second = embeddings(1), embeddings(2)
    expected = np.corrcoef(first.numpy().T, second.numpy().T)[:6, 6:]
    np.testing.assert_allclose(cross_correlation(first, second).numpy(), expected, atol=1e-5)


def test_log_distillation_is_lowest_for_the_teacher_among_its_scalings_of_sign() -> None:
    teacher = embeddings(1)
    assert log_distillation(teacher, teacher) < log_distillation(embeddings(2), teacher)
    assert log_distillation(embeddings(2), teacher) < log_distillation(-teacher, teacher)


def test_log_distillation_is_the_published_formula() -> None:
    student, teacher = embeddings(1).numpy(), embeddings(2).numpy()
    s, t = ((rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) for rows in (student, teacher))
    logs = s - np.log(np.exp(s).sum(1, keepdims=True))
    expected = -(t * logs).sum(1).mean()
    assert float(log_distillation(embeddings(1), embeddings(2))) == pytest.approx(expected, rel=1e-9)
