"""What a generator learns from when a classifier is all there is: no image, no label.

The four terms of "Always Be Dreaming" (Smith et al., ICCV 2021), which MFCL (Babakniya et al., NeurIPS 2023) trains its
generator with; statistics after DeepInversion (Yin et al., CVPR 2020).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.objectives.gather import all_gather_with_gradient

Moments = tuple[Tensor, Tensor]
"""Means (C,) and biased variances (C,) of the channels of a layer's input."""


def confidence_loss(logits: Tensor, temperature: float) -> Tensor:
    """Cross entropy between a classifier's answers and its own first choices: small where it is sure.

    Args:
        logits: (N, K).
        temperature: divisor of the logits; a large one asks for little confidence, which keeps images varied.

    Returns:
        Scalar, in nats.
    """
    return F.cross_entropy(logits / temperature, logits.argmax(1))


def information_entropy_loss(logits: Tensor) -> Tensor:
    """How unevenly a batch is spread over the classes: 0 if evenly, 1 if all of it is one class.

    Args:
        logits: (N, K) with K ≥ 2; the batch is that of all processes.

    Returns:
        Scalar: 1 − H(p̄) / ln K, with p̄ the mean of the softmax over the batch.
    """
    share = _mean_over_processes(logits.softmax(1).mean(0))
    return 1 + torch.special.xlogy(share, share).sum() / math.log(logits.shape[1])


def channel_moments(features: Tensor) -> Moments:
    """Moments of each channel of (N, C, …) over the batch of all processes and all positions."""
    rows = features.float().transpose(0, 1).flatten(1)
    mean, mean_square = _mean_over_processes(torch.stack([rows.mean(1), rows.square().mean(1)]))
    return mean, mean_square - mean.square()


def batch_statistics_loss(running: Sequence[Moments], batch: Sequence[Moments], epsilon: float = 1e-5) -> Tensor:
    """How far the inputs of normalising layers are from those that the layers saw in training.

    Args:
        running: of each layer, the moments that it keeps.
        batch: of each layer, those of the batch.
        epsilon: added to the variances, as the layers do.

    Returns:
        Scalar, in nats: KL(N(running) ‖ N(batch)), averaged over the channels of a layer, then over layers.
    """
    layers = []
    for (mean, variance), (batch_mean, batch_variance) in zip(running, batch, strict=True):
        variance, batch_variance = variance + epsilon, batch_variance.clamp(min=0) + epsilon
        distance = (variance + (batch_mean - mean).square()) / batch_variance
        layers.append((torch.log(batch_variance / variance) + distance - 1).mean() / 2)
    return torch.stack(layers).mean()


def smoothness_loss(images: Tensor) -> Tensor:
    """Mean squared difference of images (N, C, H, W) from themselves blurred, 5 × 5 pixels with σ = √2."""
    offsets = torch.arange(-2.0, 3.0, device=images.device, dtype=images.dtype)
    line = torch.exp(-(offsets / 2).square())
    line = line / line.sum()
    channels = images.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, 5, 5)
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    return F.mse_loss(images, F.conv2d(padded, kernel, groups=channels))


def _mean_over_processes(value: Tensor) -> Tensor:
    """The mean of every process's ``value``, with gradient; processes have equally many rows."""
    return all_gather_with_gradient(value[None]).mean(0)
