import math

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from processes import TwoProcesses
from torch import Tensor

from synthdata.objectives import multi_positive_nt_xent, nt_xent
from synthdata.rng import generator_at


def embeddings(count: int, dimension: int = 6) -> tuple[Tensor, Tensor]:
    """Two batches of vectors, not yet of unit norm, so that gradients can be compared before normalisation."""
    both = torch.randn(2, count, dimension, generator=generator_at("embeddings", count))
    return both[0].requires_grad_(), both[1].requires_grad_()


def normalised_nt_xent(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    return nt_xent(F.normalize(x, dim=1), F.normalize(y, dim=1), temperature)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("count", [2, 17])
def test_nt_xent_is_that_of_lightly_in_value_and_gradient(count: int, temperature: float) -> None:
    x, y = embeddings(count)
    ours, theirs = normalised_nt_xent(x, y, temperature), NTXentLoss(temperature)(x, y)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    gradients = zip(torch.autograd.grad(ours, (x, y)), torch.autograd.grad(theirs, (x, y)), strict=True)
    for our_gradient, their_gradient in gradients:
        torch.testing.assert_close(our_gradient, their_gradient, atol=1e-5, rtol=0)


def test_nt_xent_is_the_mean_surprise_at_each_anchors_positive() -> None:
    count, temperature = 5, 0.3
    x, y = (F.normalize(z.detach().double(), dim=1) for z in embeddings(count))
    rows = [*x.tolist(), *y.tolist()]
    loss = 0.0
    for i, anchor in enumerate(rows):
        similarities = [sum(a * b for a, b in zip(anchor, other, strict=True)) for other in rows]
        weights = [math.exp(similarity / temperature) for similarity in similarities]
        positive = weights[(i + count) % (2 * count)]
        loss -= math.log(positive / (sum(weights) - weights[i])) / (2 * count)
    assert nt_xent(x, y, temperature).item() == pytest.approx(loss, rel=1e-9)


def test_nt_xent_does_not_depend_on_the_order_of_the_pairs() -> None:
    x, y = (F.normalize(z.detach(), dim=1) for z in embeddings(9))
    order = torch.randperm(9, generator=generator_at("order"))
    torch.testing.assert_close(nt_xent(x[order], y[order], 0.2), nt_xent(x, y, 0.2))


def half_batch_loss(rank: int, whole: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """One process's loss and its gradient in all rows of the batch, through a weight that both processes share."""
    weight = torch.eye(whole[0].shape[1], requires_grad=True)
    x, y = (half.chunk(2)[rank] @ weight for half in whole)
    loss = normalised_nt_xent(x, y, 0.2)
    loss.backward()
    assert weight.grad is not None
    return loss.detach(), weight.grad


def test_two_processes_with_half_the_batch_each_have_loss_and_gradient_of_the_whole(
    two_processes: TwoProcesses,
) -> None:
    whole = tuple(z.detach() for z in embeddings(12))
    results = two_processes.run(half_batch_loss, whole)
    weight = torch.eye(6, requires_grad=True)
    expected = normalised_nt_xent(whole[0] @ weight, whole[1] @ weight, 0.2)
    (gradient,) = torch.autograd.grad(expected, weight)
    torch.testing.assert_close(sum(loss for loss, _ in results) / 2, expected.detach(), atol=1e-6, rtol=0)
    torch.testing.assert_close(sum(gradient for _, gradient in results) / 2, gradient, atol=1e-6, rtol=0)


def unit(count: int) -> tuple[Tensor, Tensor]:
    x, y = (F.normalize(z.detach().double(), dim=1) for z in embeddings(count))
    return x, y


def test_rows_that_are_groups_of_their_own_have_one_positive_each() -> None:
    x, y = unit(7)
    loss = multi_positive_nt_xent(x, y, torch.tensor([5, 3, 0, 2, 9, 1, 4]), 0.3)
    assert loss.item() == pytest.approx(nt_xent(x, y, 0.3).item(), rel=1e-12)


def test_several_positives_are_averaged_and_each_is_told_from_all_others() -> None:
    x, y = unit(6)
    groups, temperature = [0, 1, 0, 2, 2, 2], 0.3
    rows = [*x.tolist(), *y.tolist()]
    losses = []
    for i, anchor in enumerate(rows):
        weights = [math.exp(sum(a * b for a, b in zip(anchor, other, strict=True)) / temperature) for other in rows]
        rest = sum(weights) - weights[i]
        mates = [j for j in range(len(rows)) if j != i and groups[j % 6] == groups[i % 6]]
        losses.append(sum(-math.log(weights[j] / rest) for j in mates) / len(mates))
    loss = multi_positive_nt_xent(x, y, torch.tensor(groups), temperature)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-9)


def test_rows_of_groups_below_0_are_no_negatives_of_others_but_have_them_all() -> None:
    (x, y), temperature = unit(6), 0.3
    spared = [False, False, False, True, True, True]
    rows = [*x.tolist(), *y.tolist()]
    losses = []
    for i, anchor in enumerate(rows):
        weights = [math.exp(sum(a * b for a, b in zip(anchor, other, strict=True)) / temperature) for other in rows]
        against = [j for j in range(12) if j != i and (spared[i % 6] or not spared[j % 6])]
        losses.append(-math.log(weights[(i + 6) % 12] / sum(weights[j] for j in against)))
    loss = multi_positive_nt_xent(x, y, torch.tensor([0, 1, 2, -4, -5, -6]), temperature)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-9)


def grouped_half_batch_loss(rank: int, whole: tuple[Tensor, Tensor], groups: Tensor) -> Tensor:
    x, y = (half.chunk(2)[rank] for half in whole)
    return multi_positive_nt_xent(x, y, groups.chunk(2)[rank], 0.2)


def test_positives_are_found_in_the_batch_of_another_process(two_processes: TwoProcesses) -> None:
    whole, groups = unit(8), torch.tensor([0, 1, 2, 3, 0, 0, 3, 4])
    halves = two_processes.run(grouped_half_batch_loss, whole, groups)
    torch.testing.assert_close(sum(halves) / 2, multi_positive_nt_xent(*whole, groups, 0.2))
