import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.objectives import (
    head_cross_entropy,
    importance_weighted_distillation,
    logit_distillation,
    proximal_term,
    split_cross_entropy,
)
from synthdata.rng import generator_at


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator_at("incremental", *shape), dtype=torch.float64)


def test_split_cross_entropy_is_that_among_the_new_classes_and_leaves_old_logits_alone() -> None:
    logits = torch.tensor([[9.0, -3.0, 0.0, math.log(3)]], requires_grad=True)
    loss = split_cross_entropy(logits, torch.tensor([3]), old_classes=2)
    assert loss.item() == pytest.approx(-math.log(3 / 4))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, :2].tolist() == [0, 0]
    assert gradient[0, 2:].tolist() == pytest.approx([0.25, -0.25])


def test_head_cross_entropy_trains_the_last_layer_and_not_the_features() -> None:
    features, weight, bias = (value.requires_grad_() for value in (numbers(5, 3), numbers(4, 3), numbers(4)))
    labels = torch.tensor([0, 1, 2, 3, 0])
    loss = head_cross_entropy(features, weight, bias, labels)
    probabilities = (features @ weight.T + bias).detach().softmax(1)
    assert loss.item() == pytest.approx(-probabilities[range(5), labels].log().mean().item())
    gradients = torch.autograd.grad(loss, (features, weight, bias), allow_unused=True)
    assert gradients[0] is None
    assert gradients[1].abs().sum() > 0
    torch.testing.assert_close(gradients[2], (probabilities - F.one_hot(labels, 4)).mean(0))


def test_importance_weighted_distillation_is_the_mean_squared_change_of_the_old_logits() -> None:
    now, before, weight = numbers(6, 3).requires_grad_(), numbers(7, 3)[:6], numbers(2, 3)
    total = sum(sum(float(w @ (a - b)) ** 2 for w in weight) / 2 for a, b in zip(now.detach(), before, strict=True))
    assert importance_weighted_distillation(now, before, weight).item() == pytest.approx(total / 6)
    assert importance_weighted_distillation(now, now.detach(), weight).item() == 0


def test_importance_weighted_distillation_lets_features_move_where_the_old_layer_does_not_look() -> None:
    moved = torch.tensor([[1.0, 7.0]])
    assert importance_weighted_distillation(moved, torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])).item() == 0


def test_logit_distillation_is_the_scaled_divergence_of_the_answers_about_old_classes() -> None:
    logits, before, temperature = numbers(4, 5), numbers(4, 3), 2.0
    p = (before / temperature).softmax(1)
    q = (logits[:, :3] / temperature).softmax(1)
    expected = (p * (p / q).log()).sum(1).mean().item() * temperature**2
    assert logit_distillation(logits, before, temperature).item() == pytest.approx(expected)
    assert logit_distillation(logits, logits[:, :3], temperature).item() == pytest.approx(0, abs=1e-12)


def test_the_proximal_term_pulls_parameters_straight_back() -> None:
    parameters, anchors = [numbers(2, 3).requires_grad_(), numbers(3).requires_grad_()], [numbers(2, 3) + 1, numbers(3)]
    loss = proximal_term(parameters, anchors)
    assert loss.item() == pytest.approx(3)  # half of six ones
    gradients = torch.autograd.grad(loss, parameters)
    torch.testing.assert_close(gradients[0], -torch.ones(2, 3, dtype=torch.float64))
    torch.testing.assert_close(gradients[1], torch.zeros(3, dtype=torch.float64))
