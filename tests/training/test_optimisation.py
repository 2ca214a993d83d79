from itertools import pairwise

import pytest
import torch
from processes import TwoProcesses
from torch import Tensor, nn

from synthdata.models import Encoder
from synthdata.rng import generator_at
from synthdata.training.optimisation import (
    adam,
    cosine_schedule,
    encoder_optimizer,
    frozen,
    step_optimizer,
)


def test_the_learning_rate_rises_linearly_and_falls_by_half_a_cosine() -> None:
    factors = [cosine_schedule(images, 1000, warmup=0.1) for images in range(0, 1001, 50)]
    assert factors[0] == 0
    assert factors[1] == pytest.approx(0.5)
    assert factors[2] == pytest.approx(1)
    assert factors[11] == pytest.approx(0.5)
    assert factors[20] == pytest.approx(0)
    assert all(later < earlier for earlier, later in pairwise(factors[2:]))


def test_without_warm_up_the_learning_rate_starts_at_its_peak() -> None:
    assert cosine_schedule(0, 1000, warmup=0.0) == 1


def test_norms_and_biases_are_not_decayed() -> None:
    layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    decayed, free = encoder_optimizer(layers, "adamw", 0.1, 0.3).param_groups
    assert [parameter.ndim for parameter in decayed["params"]] == [4]
    assert (decayed["weight_decay"], free["weight_decay"], len(free["params"])) == (0.3, 0, 3)


def test_a_generator_without_critic_has_no_critic_optimizer() -> None:
    assert adam([], 0.1, (0.0, 0.99)) is None


def step_towards_rows(rank: int, rows: Tensor) -> Tensor:
    """One step of SGD on the mean of this process's rows; a parameter without gradient stays out of it."""
    weight, unused = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(1))
    (rows.chunk(2)[rank] @ weight).mean().backward()
    optimizer = torch.optim.SGD([weight, unused], lr=99.0)
    step_optimizer(optimizer, learning_rate=0.5)
    assert weight.grad is None
    assert unused.item() == 1
    return weight.detach()


def test_a_step_takes_the_gradient_averaged_over_processes(two_processes: TwoProcesses) -> None:
    rows = torch.randn(6, 3, generator=generator_at("rows"))
    for weight in two_processes.run(step_towards_rows, rows):
        torch.testing.assert_close(weight, -0.5 * rows.mean(0))


def test_frozen_lets_gradients_through_and_touches_nothing() -> None:
    torch.manual_seed(0)
    encoder = Encoder("resnet8", 16, 1, width=4, hidden_dim=8, projection_dim=6)
    encoder.backbone.stem[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    images = torch.randn(4, 1, 16, 16, generator=generator_at("images"), requires_grad=True)
    with frozen(encoder):
        encoder(images).square()[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert encoder.training
    required = [parameter.requires_grad for parameter in encoder.parameters()]
    assert required == [False] + [True] * (len(required) - 1)


def test_frozen_ends_with_an_error_too() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(RuntimeError), frozen(layer):
        layer(torch.zeros(1, 3))
    assert layer.weight.requires_grad
    assert layer.training
