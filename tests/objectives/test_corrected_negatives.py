import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from processes import TwoProcesses
from torch import Tensor

from synthdata.objectives import debiased_nt_xent, hard_negative_nt_xent, nt_xent
from synthdata.rng import generator_at


def embeddings(count: int, dimension: int = 6) -> tuple[Tensor, Tensor]:
    """Unit-norm embeddings of two views, in double precision."""
    both = torch.randn(2, count, dimension, dtype=torch.double, generator=generator_at("hard negatives", count))
    return tuple(F.normalize(both, dim=2))


def published_loss(x: Tensor, y: Tensor, temperature: float, prior: float, beta: float) -> float:
    """The loss as the published pseudocode of Robinson et al. computes it, anchor by anchor."""
    rows, count = np.concatenate([x.numpy(), y.numpy()]), len(x)
    losses = []
    for i, anchor in enumerate(rows):
        partner = (i + count) % (2 * count)
        positive = math.exp(anchor @ rows[partner] / temperature)
        others = [j for j in range(2 * count) if j not in (i, partner)]
        negatives = np.exp(rows[others] @ anchor / temperature)
        importance = negatives**beta
        reweighted = (importance * negatives).sum() / importance.mean()
        corrected = (reweighted - prior * len(others) * positive) / (1 - prior)
        corrected = max(corrected, len(others) * math.exp(-1 / temperature))
        losses.append(-math.log(positive / (positive + corrected)))
    return float(np.mean(losses))


@pytest.mark.parametrize("count", [2, 13])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_without_prior_and_concentration_they_are_nt_xent(count: int, temperature: float) -> None:
    x, y = embeddings(count)
    expected = nt_xent(x, y, temperature)
    torch.testing.assert_close(debiased_nt_xent(x, y, temperature, 0.0), expected)
    torch.testing.assert_close(hard_negative_nt_xent(x, y, temperature, 0.0, 0.0), expected)


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("prior", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_that_of_the_published_pseudocode(temperature: float, prior: float, beta: float) -> None:
    x, y = embeddings(9)
    y = F.normalize(x + 0.3 * y, dim=1)
    found = hard_negative_nt_xent(x, y, temperature, prior, beta)
    assert found.item() == pytest.approx(published_loss(x, y, temperature, prior, beta), rel=1e-9)
    if beta == 0.0:
        assert debiased_nt_xent(x, y, temperature, prior).item() == pytest.approx(found.item(), rel=1e-12)


def test_a_harder_negative_weighs_more_with_concentration() -> None:
    x, y = (z.clone().requires_grad_() for z in embeddings(9))
    shares = []
    for beta in (0.0, 1.0):
        (gradient,) = torch.autograd.grad(hard_negative_nt_xent(x, y.detach(), 0.5, 0.0, beta), x)
        nearest = (x @ y.T).fill_diagonal_(-1.0).max(1).values.argmax()
        shares.append(float(gradient[nearest].norm() / gradient.norm()))
    assert shares[1] > shares[0]


def test_gradients_are_finite_where_the_correction_is_cut_off() -> None:
    x, _ = embeddings(5)
    x = x.float().requires_grad_()
    loss = hard_negative_nt_xent(F.normalize(x, dim=1), F.normalize(x, dim=1), 0.05, 0.9, 1.0)
    loss.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def half_batch_loss(rank: int, whole: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    weight = torch.eye(6, dtype=torch.double, requires_grad=True)
    x, y = (F.normalize(half.chunk(2)[rank] @ weight, dim=1) for half in whole)
    loss = hard_negative_nt_xent(x, y, 0.2, 0.1, 0.5)
    loss.backward()
    assert weight.grad is not None
    return loss.detach(), weight.grad


def test_two_processes_with_half_the_batch_each_have_loss_and_gradient_of_the_whole(
    two_processes: TwoProcesses,
) -> None:
    whole = embeddings(12)
    results = two_processes.run(half_batch_loss, whole)
    expected, gradient = half_batch_loss(0, tuple(torch.stack([z, z], 0).flatten(0, 1) for z in whole))
    torch.testing.assert_close(sum(loss for loss, _ in results) / 2, expected)
    torch.testing.assert_close(sum(gradient for _, gradient in results) / 2, gradient)
