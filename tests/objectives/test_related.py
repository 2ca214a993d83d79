"""Losses with negatives beside those of the batch, against loops over anchors that share no code with them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.objectives import Related, debiased_nt_xent, hard_negative_nt_xent, hasa_nt_xent, nt_xent
from synthdata.rng import generator_at

PAIRS, PER_PAIR, DIMENSION, TEMPERATURE = 7, 3, 5, 0.4


def embeddings(*shape: int) -> Tensor:
    generator = generator_at("related", *shape)
    return F.normalize(torch.randn(*shape, DIMENSION, dtype=torch.double, generator=generator), dim=-1)


@pytest.fixture
def views() -> tuple[Tensor, Tensor]:
    x, y = embeddings(2, PAIRS)
    return x, F.normalize(x + 0.4 * y, dim=1)


@pytest.fixture
def related() -> Related:
    suspected = torch.tensor([[True, False, True], [False] * 3, [True] * 3, *[[False, True, False]] * (PAIRS - 3)])
    weights = torch.linspace(0.0, 2.0, PAIRS * PER_PAIR, dtype=torch.double).reshape(PAIRS, PER_PAIR)
    return Related(embeddings(PAIRS, PER_PAIR), weights, suspected)


def by_hand(views: tuple[Tensor, Tensor], related: Related, prior: float, beta: float, by_graph: bool) -> float:
    """The mean loss of all anchors: weighted negatives in proportion to φ^β, less the expected false ones."""
    rows = np.concatenate([view.numpy() for view in views])
    losses = []
    for i, anchor in enumerate(rows):
        pair, partner = i % PAIRS, (i + PAIRS) % (2 * PAIRS)
        positive = math.exp(anchor @ rows[partner] / TEMPERATURE)
        batch = [math.exp(anchor @ rows[j] / TEMPERATURE) for j in range(2 * PAIRS) if j not in (i, partner)]
        own = np.exp(related.embeddings[pair].numpy() @ anchor / TEMPERATURE)
        phi = np.array([*batch, *own])
        weight = np.array([1.0] * len(batch) + related.weights[pair].tolist())
        total = weight.sum()
        mean = (weight * phi ** (1 + beta)).sum() / (weight * phi**beta).sum()
        false, floor = positive, math.exp(-1 / TEMPERATURE)
        if by_graph:
            chosen = own[related.suspected[pair].numpy()]
            false = (chosen ** (1 + beta)).sum() / (chosen**beta).sum() if len(chosen) else positive
            floor = 0.0
        corrected = total * max((mean - prior * false) / (1 - prior), floor)
        losses.append(-math.log(positive / (positive + corrected)))
    return float(np.mean(losses))


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("prior", [0.0, 0.1, 0.4])
def test_the_losses_are_those_of_a_loop_over_anchors(
    views: tuple[Tensor, Tensor], related: Related, prior: float, beta: float
) -> None:
    hard = hard_negative_nt_xent(*views, TEMPERATURE, prior, beta, related)
    assert hard.item() == pytest.approx(by_hand(views, related, prior, beta, by_graph=False), rel=1e-10)
    hasa = hasa_nt_xent(*views, TEMPERATURE, prior, beta, related)
    assert hasa.item() == pytest.approx(by_hand(views, related, prior, beta, by_graph=True), rel=1e-10)
    if beta == 0:
        assert debiased_nt_xent(*views, TEMPERATURE, prior, related).item() == pytest.approx(hard.item(), rel=1e-12)


def test_negatives_without_weight_change_nothing(views: tuple[Tensor, Tensor], related: Related) -> None:
    nothing = related._replace(weights=torch.zeros_like(related.weights))
    torch.testing.assert_close(debiased_nt_xent(*views, TEMPERATURE, 0.0, nothing), nt_xent(*views, TEMPERATURE))


def test_without_suspected_negatives_the_positive_stands_for_the_false_ones(
    views: tuple[Tensor, Tensor], related: Related
) -> None:
    unsuspected = related._replace(suspected=torch.zeros_like(related.suspected))
    expected = hard_negative_nt_xent(*views, TEMPERATURE, 0.05, 1.0, unsuspected)
    torch.testing.assert_close(hasa_nt_xent(*views, TEMPERATURE, 0.05, 1.0, unsuspected), expected)


def test_a_negative_that_is_suspected_is_pushed_away_less(views: tuple[Tensor, Tensor], related: Related) -> None:
    pushes = []
    for suspected in (False, True):
        others = related.embeddings.clone().requires_grad_()
        marks = torch.zeros_like(related.suspected)
        marks[:, 0] = suspected
        hasa_nt_xent(
            *views, TEMPERATURE, 0.02, 0.0, Related(others, torch.ones_like(related.weights), marks)
        ).backward()
        assert others.grad is not None
        pushes.append(float(others.grad[:, 0].norm()))
    assert pushes[1] < pushes[0]


def test_gradients_are_finite_where_some_anchors_have_no_suspected_negative(
    views: tuple[Tensor, Tensor], related: Related
) -> None:
    x, y = (view.clone().requires_grad_() for view in views)
    hasa_nt_xent(x, y, 0.05, 0.3, 1.0, related).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
