import math

import pytest
import torch
import torch.nn.functional as F
from processes import TwoProcesses
from torch import Tensor

from synthdata.objectives import alignment_calibration, contrastive_unlearning, nt_xent
from synthdata.rng import generator_at

ANCHOR = torch.tensor([[1.0, 0.0]])
RETAINED = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])
PULLED = torch.tensor([[True, True, False]])


def unit(*shape: int, seed: int = 0) -> Tensor:
    rows = torch.randn(*shape, dtype=torch.double, generator=generator_at("unlearning", seed, *shape))
    return F.normalize(rows, dim=-1)


def test_forgotten_samples_cost_what_the_published_equation_gives() -> None:
    loss = contrastive_unlearning(ANCHOR, RETAINED, ~PULLED, PULLED, 0.7)
    assert float(loss) == pytest.approx(1.571429, abs=1e-6)


def test_a_forgotten_class_costs_what_the_published_equation_gives() -> None:
    two = RETAINED[:2]
    nothing, all_of_it = torch.zeros(1, 2, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
    assert float(contrastive_unlearning(ANCHOR, two, nothing, all_of_it, 0.7)) == pytest.approx(1.407433, abs=1e-6)


def one_by_one(anchors: Tensor, contrast: Tensor, pushed: Tensor, pulled: Tensor, temperature: float) -> float:
    """Equations 5 and 6, term by term."""
    losses = []
    for number, anchor in enumerate(anchors):
        to = [other for other, pull in zip(contrast, pulled[number], strict=True) if pull]
        away = [other for other, push in zip(contrast, pushed[number], strict=True) if push]
        if not to:
            continue
        below = sum(math.exp(float(anchor @ other) / temperature) for other in away) if away else len(to)
        terms = [math.log(math.exp(float(anchor @ other) / temperature) / below) for other in to]
        losses.append(-sum(terms) / len(to))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("temperature", [0.2, 0.7])
def test_unlearning_is_the_equation_term_by_term(temperature: float) -> None:
    anchors, contrast = unit(5, 4), unit(9, 4, seed=1)
    labels, theirs = torch.tensor([0, 1, 2, 3, 0]), torch.tensor([0, 0, 1, 1, 1, 2, 0, 1, 4])
    pushed, pulled = labels[:, None] == theirs, labels[:, None] != theirs
    pulled[1] = False  # an anchor without anything to be pulled to
    assert not pushed[3].any()
    loss = contrastive_unlearning(anchors, contrast, pushed, pulled, temperature)
    assert float(loss) == pytest.approx(one_by_one(anchors, contrast, pushed, pulled, temperature), abs=1e-9)


def test_unlearning_moves_an_anchor_from_what_is_pushed_to_what_is_pulled() -> None:
    anchor = unit(1, 4).requires_grad_()
    contrast = unit(2, 4, seed=1)
    pushed = torch.tensor([[True, False]])
    contrastive_unlearning(anchor, contrast, pushed, ~pushed, 0.5).backward()
    assert anchor.grad is not None
    torch.testing.assert_close(anchor.grad, ((contrast[0] - contrast[1]) / 0.5)[None])


def test_anchors_with_nothing_to_push_or_pull_give_finite_gradients() -> None:
    anchors = unit(3, 4).requires_grad_()
    nothing = torch.zeros(3, 2, dtype=torch.bool)
    for pushed, pulled in ((nothing, nothing), (nothing, ~nothing), (~nothing, nothing)):
        loss = contrastive_unlearning(anchors, unit(2, 4, seed=1), pushed, pulled, 0.1)
        (gradient,) = torch.autograd.grad(loss, anchors)
        assert gradient.isfinite().all()


def calibrated_one_by_one(
    anchors: Tensor, keys: Tensor, own: Tensor, forgotten: list[bool], temperature: float, alpha: float, beta: float
) -> float:
    everyone = torch.cat([anchors, keys])
    count = len(anchors)
    contrast = 0.0
    for number, embedding in enumerate(everyone):
        partner = (number + count) % (2 * count)
        total = sum(math.exp(float(embedding @ other) / temperature) for k, other in enumerate(everyone) if k != number)
        weight = alpha if forgotten[number % count] else 1.0
        contrast -= weight * math.log(math.exp(float(embedding @ everyone[partner]) / temperature) / total)
    alike = [float(anchors[place] @ view) for place, view in zip(torch.tensor(forgotten).nonzero(), own, strict=True)]
    return contrast / (2 * count) + beta * sum(forgotten) / count * sum(alike) / len(alike)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 3.0), (0.0, 0.0)])
def test_calibration_is_its_definition_term_by_term(alpha: float, beta: float) -> None:
    anchors, keys, own = unit(6, 4), unit(6, 4, seed=1), unit(2, 4, seed=2)
    forgotten = torch.tensor([False, True, False, False, True, False])
    loss = alignment_calibration(anchors, keys, own, forgotten, 0.3, alpha, beta)
    expected = calibrated_one_by_one(anchors, keys, own, forgotten.tolist(), 0.3, alpha, beta)
    assert float(loss) == pytest.approx(expected, abs=1e-9)


def test_calibration_drives_the_views_of_a_forgotten_image_apart() -> None:
    anchors, keys = unit(4, 4), unit(4, 4, seed=1)
    own = anchors[:1].clone().requires_grad_()
    forgotten = torch.tensor([True, False, False, False])
    alignment_calibration(anchors, keys, own, forgotten, 0.3).backward()
    assert own.grad is not None
    assert float((own.grad * anchors[:1]).sum()) > 0  # a step against the gradient lowers their similarity


def test_calibration_without_weights_of_its_own_is_the_loss_of_the_encoder() -> None:
    anchors, keys = unit(5, 4), unit(5, 4, seed=1)
    forgotten = torch.tensor([True, False, False, False, False])
    loss = alignment_calibration(anchors, keys, unit(1, 4, seed=2), forgotten, 0.3, 1.0, 0.0)
    torch.testing.assert_close(loss, nt_xent(anchors, keys, 0.3))


def half_calibrated(rank: int) -> float:
    rows = [0, 1, 4] if rank == 0 else [2, 3, 5]
    anchors, keys, own = unit(6, 4)[rows], unit(6, 4, seed=1)[rows], unit(2, 4, seed=2)[rank : rank + 1]
    forgotten = torch.tensor([False, False, True])
    return float(alignment_calibration(anchors, keys, own, forgotten, 0.3, 0.5, 2.0))


def test_calibration_over_two_processes_is_that_of_the_whole_batch(two_processes: TwoProcesses) -> None:
    forgotten = torch.tensor([False, False, False, False, True, True])
    whole = alignment_calibration(unit(6, 4), unit(6, 4, seed=1), unit(2, 4, seed=2), forgotten, 0.3, 0.5, 2.0)
    assert sum(two_processes.run(half_calibrated)) / 2 == pytest.approx(float(whole), abs=1e-9)
