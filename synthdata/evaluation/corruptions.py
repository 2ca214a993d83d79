"""Accuracy on images that are noisy, blurred, pale or coarse, by a classifier that learned from clean ones."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from synthdata.data import RealData, to_float, to_uint8
from synthdata.evaluation.features import map_images
from synthdata.evaluation.probe import fit_probe, knn_top1
from synthdata.evaluation.score import labelled_features
from synthdata.models import Encoder
from synthdata.rng import generator_at
from synthdata.views.blur import gaussian_blur

Corruption = Callable[[Tensor, float, torch.Generator], Tensor]


def noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise of a standard deviation in shares of the range of pixels."""
    return images + 2 * deviation * torch.randn(images.shape, generator=generator, device=images.device)


def blur(images: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Gaussian blur of a standard deviation in pixels of 32 across the image."""
    sigma *= images.shape[-1] / 32
    radius = min(max(1, round(4 * sigma)), images.shape[-1] - 1)
    return gaussian_blur(images, torch.full((len(images),), sigma, device=images.device), radius)


def contrast(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A share of each pixel's distance to its channel's mean over the image."""
    mean = images.mean((2, 3), keepdim=True)
    return mean + share * (images - mean)


def pixelate(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Means over boxes, of which a share of the image's own pixels goes across it."""
    size = images.shape[-1]
    small = max(1, int(size * share))

    def boxes(channel: np.ndarray) -> np.ndarray:
        resized = Image.fromarray(channel).resize((small, small), Image.Resampling.BOX)
        return np.asarray(resized.resize((size, size), Image.Resampling.BOX))

    channels = images.flatten(0, 1).cpu().numpy()
    return torch.from_numpy(np.stack([boxes(each) for each in channels])).view_as(images).to(images.device)


CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "noise": (noise, (0.04, 0.06, 0.08, 0.09, 0.1)),
    "blur": (blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "contrast": (contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "pixelation": (pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
}
"""Four of the corruptions of CIFAR-10-C, each in its five severities (Hendrycks and Dietterich, ICLR 2019)."""


def score_corruptions(encoder: Encoder, data: RealData, device: torch.device, limit: int) -> dict[str, list[float]]:
    """Linear and k-NN accuracy on corrupted test images, of the same probes as on clean ones.

    Args:
        limit: the most labelled, clean images that probe and k-NN see.

    Returns:
        ``linear_<corruption>_top1`` and ``knn_<corruption>_top1``: one top-1 accuracy in percent, the mean over all
        severities; and ``linear_corrupted_top1`` and ``knn_corrupted_top1``, the means over all corruptions.
    """
    train = labelled_features(encoder, data.labelled, device, limit)
    probe, _ = fit_probe(train, labelled_features(encoder, data.validation, device))
    assert data.test.labels is not None
    known = data.test.labels >= 0
    labels = data.test.labels[known]
    scores: dict[str, list[float]] = {}
    for name, (corrupt, severities) in CORRUPTIONS.items():
        for severity in severities:
            features = _features(encoder, data, device, corrupt, severity)[known]
            linear, knn = float(probe.score(features.numpy(), labels.numpy())), knn_top1(train, (features, labels))
            for way, accuracy in (("linear", linear), ("knn", knn)):
                for key in (f"{way}_{name}_top1", f"{way}_corrupted_top1"):
                    scores.setdefault(key, []).append(100 * accuracy)
    return {name: [sum(accuracies) / len(accuracies)] for name, accuracies in scores.items()}


def _features(encoder: Encoder, data: RealData, device: torch.device, corrupt: Corruption, severity: float) -> Tensor:
    """(N, D) features of the corrupted test images, rounded to the 256 levels that stored images have."""
    generator = generator_at("corruption", str(severity), device=device)

    def features(images: Tensor) -> Tensor:
        return encoder.features(to_float(to_uint8(corrupt(images, severity, generator))))

    return map_images(features, encoder, data.test, device)
