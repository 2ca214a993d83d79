"""The terms that a data-free generator learns from, against values worked out by hand."""

import math

import pytest
import torch
from processes import TwoProcesses
from torch import Tensor

from synthdata.objectives import (
    batch_statistics_loss,
    channel_moments,
    confidence_loss,
    information_entropy_loss,
    smoothness_loss,
)
from synthdata.rng import generator_at


@pytest.mark.parametrize(
    ("mean", "variance", "distance"), [(1.0, 1.0, 0.5), (0.0, 4.0, 0.318147), (0.0, 0.25, 0.806853)]
)
def test_the_distance_of_statistics_is_that_of_two_normal_distributions(mean: float, variance: float, distance: float):
    running, batch = (torch.zeros(2), torch.ones(2)), (torch.full((2,), mean), torch.full((2,), variance))
    loss = batch_statistics_loss([running], [batch], epsilon=0.0)
    assert float(loss) == pytest.approx(distance, abs=1e-6)
    normal = torch.distributions.Normal
    independent = torch.distributions.kl_divergence(normal(0.0, 1.0), normal(mean, math.sqrt(variance)))
    assert float(loss) == pytest.approx(float(independent), abs=1e-6)


def test_layers_count_alike_however_many_channels_they_have():
    near, far = (torch.zeros(1), torch.ones(1)), (torch.ones(9), torch.ones(9))
    loss = batch_statistics_loss([near, (torch.zeros(9), torch.ones(9))], [near, far], epsilon=0.0)
    assert float(loss) == pytest.approx(0.25)


def test_a_channel_without_variance_has_a_finite_distance():
    constant = channel_moments(torch.ones(4, 2, 3, 3))
    assert batch_statistics_loss([(torch.zeros(2), torch.ones(2))], [constant]).isfinite()


@pytest.mark.parametrize(
    ("shares", "unevenness"),
    [((0.25,) * 4, 0.0), ((0.5, 0.5, 0.0, 0.0), 0.5), ((0.97, 0.01, 0.01, 0.01), 0.879030), ((1.0, 0, 0, 0), 1.0)],
)
def test_the_use_of_classes_is_told_from_the_mean_answer(shares: tuple[float, ...], unevenness: float):
    logits = torch.tensor([shares] * 3).log()
    assert float(information_entropy_loss(logits)) == pytest.approx(unevenness, abs=1e-6)


def test_sure_answers_that_are_spread_evenly_use_all_classes():
    assert float(information_entropy_loss(100 * torch.eye(4))) == pytest.approx(0.0, abs=1e-6)


def test_a_temperature_of_1000_asks_for_next_to_no_confidence():
    logits = torch.tensor([[10.0, 0.0, 0.0, 0.0]])
    assert float(confidence_loss(logits, 1000.0)) == pytest.approx(1.378804, abs=1e-6)
    assert float(confidence_loss(logits, 1.0)) == pytest.approx(math.log1p(3 * math.exp(-10)), abs=1e-6)


def test_the_blur_is_a_kernel_of_5_pixels():
    impulse = torch.zeros(1, 1, 11, 11)
    impulse[0, 0, 5, 5] = 1.0
    # the image less its blur: at the impulse 1 − centre, at two pixels off in both directions −corner
    line = torch.exp(-((torch.arange(-2.0, 3.0) / 2) ** 2))
    line = line / line.sum()
    kernel = line[:, None] * line[None]
    assert float(kernel[2, 2]) == pytest.approx(0.092198, abs=1e-6)
    assert float(kernel[0, 0]) == pytest.approx(0.012478, abs=1e-6)
    squares = (1 - 0.092198) ** 2 + float(kernel.square().sum()) - 0.092198**2
    assert float(smoothness_loss(impulse)) == pytest.approx(squares / 121, abs=1e-6)


def test_even_images_are_smooth_up_to_the_border():
    assert float(smoothness_loss(torch.full((2, 3, 8, 8), 0.3))) == pytest.approx(0.0, abs=1e-12)


def moments_of_a_part(rank: int, whole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    part = whole.chunk(2)[rank].clone().requires_grad_()
    mean, variance = channel_moments(part)
    (mean.sum() + variance.square().sum()).backward()
    assert part.grad is not None
    return mean.detach(), variance.detach(), part.grad


def test_moments_are_those_of_the_batch_of_all_processes(two_processes: TwoProcesses):
    whole = torch.randn(6, 3, 4, 4, generator=generator_at("features")) + 1
    parts = two_processes.run(moments_of_a_part, whole)
    leaf = whole.clone().requires_grad_()
    variance, mean = torch.var_mean(leaf, (0, 2, 3), correction=0)
    (mean.sum() + variance.square().sum()).backward()
    assert leaf.grad is not None
    for rank, (part_mean, part_variance, gradient) in enumerate(parts):
        torch.testing.assert_close(part_mean, mean.detach())
        torch.testing.assert_close(part_variance, variance.detach())
        torch.testing.assert_close(gradient / 2, leaf.grad.chunk(2)[rank])  # steps average over processes
