"""Alignment and uniformity of embeddings on the unit sphere (Wang & Isola, ICML 2020)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.data import Images
from synthdata.evaluation.features import map_images
from synthdata.models import Encoder
from synthdata.rng import generator_at
from synthdata.views import RandomView, ViewConfig

_ROWS = 1024


def alignment(embeddings_1: Tensor, embeddings_2: Tensor) -> float:
    """Mean squared distance of the two views of an image (equation 1, α = 2).

    Args:
        embeddings_1: (N, D), unit norm; row i and row i of ``embeddings_2`` are views of one image.
        embeddings_2: (N, D), unit norm.

    Returns:
        In [0, 4]; lower is better aligned.
    """
    return float((embeddings_1 - embeddings_2).double().square().sum(1).mean())


def uniformity(embeddings: Tensor) -> float:
    """Log of the mean Gaussian potential over all pairs of different images (equation 2, t = 2).

    Args:
        embeddings: (N, D), unit norm, N ≥ 2, one view of each image.

    Returns:
        In [−8, 0]; lower is more uniform.

    Raises:
        ValueError: fewer than two embeddings have no pair.
    """
    count = len(embeddings)
    if count < 2:
        raise ValueError(f"uniformity needs at least 2 embeddings, not {count}")
    embeddings = embeddings.double()
    potentials = [
        (-2 * torch.cdist(part, embeddings, compute_mode="donot_use_mm_for_euclid_dist").square()).exp().sum()
        for part in embeddings.split(_ROWS)
    ]
    # Each row met itself as well, at distance 0.
    return math.log((float(torch.stack(potentials).sum()) - count) / (count * (count - 1)))


def alignment_and_uniformity(
    encoder: Encoder, images: Images, views: ViewConfig, seed: int, device: torch.device, limit: int
) -> dict[str, float]:
    """Both measures of two random views of the first ``limit`` images.

    Returns:
        ``alignment`` and ``uniformity`` of the projections, and ``feature_alignment`` and ``feature_uniformity`` of the
        features, scaled to unit norm.
    """
    view = RandomView(views, encoder.image_size, encoder.channels)
    first, second = (_embed(encoder, images, view, generator_at(seed, "view", i), device, limit) for i in (1, 2))
    scores = {}
    for prefix, part in (("", slice(encoder.feature_dim, None)), ("feature_", slice(encoder.feature_dim))):
        embeddings_1, embeddings_2 = (F.normalize(both[:, part], dim=1) for both in (first, second))
        scores[f"{prefix}alignment"] = alignment(embeddings_1, embeddings_2)
        scores[f"{prefix}uniformity"] = uniformity(embeddings_1)
    return scores


def _embed(
    encoder: Encoder, images: Images, view: RandomView, generator: torch.Generator, device: torch.device, limit: int
) -> Tensor:
    """(N, feature_dim + P): features and projections of one view of each image, on the CPU."""

    def of_batch(batch: Tensor) -> Tensor:
        features = encoder.features(view(batch, generator))
        return torch.cat([features, encoder.projection_head(features)], 1)

    return map_images(of_batch, encoder, images, device, limit)
