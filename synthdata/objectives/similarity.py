"""Similarity of the two images of a positive pair, and the schedule that lets it fall."""

import math

import torch.nn.functional as F
from torch import Tensor


def pair_similarity(embeddings_a: Tensor, embeddings_b: Tensor) -> Tensor:
    """Cosine similarity of each pair's embeddings: two (N, D) tensors to (N,) values in [−1, 1]."""
    return F.cosine_similarity(embeddings_a, embeddings_b, dim=1)


def similarity_target(progress: float, initial: float, final: float) -> float:
    """The similarity s(t) that pairs should have: a half cosine from ``initial`` down to ``final``.

    Args:
        progress: share of the joint phase that is done, clamped to [0, 1].
        initial: s(0), in [−1, 1].
        final: s(1), in [−1, 1].
    """
    progress = min(max(progress, 0.0), 1.0)
    return final + (initial - final) * (1 + math.cos(math.pi * progress)) / 2


def similarity_loss(similarity: Tensor, target: float) -> Tensor:
    """Mean squared distance of pair similarities (N,) from the scheduled target; scalar.

    Pairs less similar than the target are pulled together, so a pair never stops being a positive.
    """
    return (similarity - target).square().mean()
