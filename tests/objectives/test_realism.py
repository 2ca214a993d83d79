import math

import pytest
import torch
from torch import Tensor, nn

from synthdata.objectives.realism import discriminator_loss, generator_loss, r1_penalty
from synthdata.rng import generator_at


def scores(purpose: str, count: int) -> Tensor:
    return torch.randn(count, generator=generator_at(purpose), dtype=torch.float64) * 3


def test_discriminator_loss_is_cross_entropy_of_telling_real_from_synthetic() -> None:
    real, synthetic = scores("real", 5), scores("synthetic", 7)
    expected = -sum(math.log(1 / (1 + math.exp(-s))) for s in real.tolist()) / 5
    expected -= sum(math.log(1 - 1 / (1 + math.exp(-s))) for s in synthetic.tolist()) / 7
    assert discriminator_loss(real, synthetic).item() == pytest.approx(expected, rel=1e-9)


def test_generator_loss_is_surprise_at_being_taken_for_real() -> None:
    synthetic = scores("synthetic", 7)
    expected = -sum(math.log(1 / (1 + math.exp(-s))) for s in synthetic.tolist()) / 7
    assert generator_loss(synthetic).item() == pytest.approx(expected, rel=1e-9)


def test_losses_stay_finite_at_extreme_scores() -> None:
    extreme = torch.tensor([-1e4, 1e4])
    assert discriminator_loss(extreme, extreme).isfinite()
    assert generator_loss(extreme).item() == pytest.approx(5e3)


def test_generator_loss_keeps_its_gradient_where_the_discriminator_is_sure() -> None:
    score = torch.tensor([-20.0], requires_grad=True)
    generator_loss(score).backward()
    assert score.grad is not None
    assert score.grad.item() == pytest.approx(-1)


def test_r1_of_a_linear_discriminator_is_half_its_squared_weight() -> None:
    images = torch.randn(4, 3, 8, 8, generator=generator_at("images"), requires_grad=True)
    weight = torch.randn(3, 8, 8, generator=generator_at("weight"), requires_grad=True)
    penalty = r1_penalty(images, (images * weight).sum((1, 2, 3)))
    torch.testing.assert_close(penalty, weight.square().sum() / 2)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, weight)


def test_r1_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(16, 1)).double()
    images = torch.randn(3, 1, 4, 4, generator=generator_at("images"), dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(images, network(images).squeeze(1)).item()
    squared_norms, epsilon = 0.0, 1e-5
    with torch.no_grad():
        for pixel in range(16):
            nudge = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
            nudge.view(-1)[pixel] = epsilon
            slopes = (network(images + nudge) - network(images - nudge)) / (2 * epsilon)
            squared_norms += slopes.square().mean().item()
    assert penalty == pytest.approx(squared_norms / 2, rel=1e-6)
