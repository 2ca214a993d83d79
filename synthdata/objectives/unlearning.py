"""Losses that take images out of an encoder which has learned them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.objectives.contrastive import anchor_logits


def contrastive_unlearning(
    anchors: Tensor, contrast: Tensor, pushed: Tensor, pulled: Tensor, temperature: float
) -> Tensor:
    """Push embeddings that are to be forgotten from what they are like, and pull them to what they are unlike.

    With labels, ``contrast`` are retained images, ``pushed`` those of the anchor's class and ``pulled`` the others
    (where a whole class is forgotten, none is pushed, and the logarithm of a constant takes the place of the sum).
    Without labels, what is pushed are other views of the same image, and what is pulled are all retained images.

    Args:
        anchors: (N, D) unit-norm embeddings of images to be forgotten.
        contrast: (M, D) unit-norm embeddings.
        pushed: (N, M) bool.
        pulled: (N, M) bool; an anchor that has none is left out.
        temperature: divisor of the cosine similarities, > 0.

    Returns:
        Scalar, in nats: the mean over anchors of −(1/|pulled|) Σ_pulled log(exp(z·z_a/τ) / Σ_pushed exp(z·z_p/τ)); 0
        if no anchor has anything to be pulled to.

    Source: Lee et al., "Contrastive Unlearning" (IJCAI 2025, arXiv 2401.10458), equations 5 (samples) and 6 (a class).
    """
    logits = anchors @ contrast.T / temperature
    counts = pulled.sum(1)
    some = pushed.any(1)
    mean_pulled = torch.where(pulled, logits, 0.0).sum(1) / counts.clamp_min(1)
    # of an anchor with nothing to push, something finite, whose gradient is dropped
    sums = torch.where(pushed | ~some[:, None], logits, float("-inf")).logsumexp(1)
    per_anchor = torch.where(some, sums, counts.clamp_min(1).to(logits.dtype).log()) - mean_pulled
    counted = (counts > 0).to(logits.dtype)
    return (per_anchor * counted).sum() / counted.sum().clamp_min(1)


def alignment_calibration(
    anchors: Tensor,
    keys: Tensor,
    own: Tensor,
    forgotten: Tensor,
    temperature: float,
    negative_weight: float = 1.0,
    positive_weight: float = 1.0,
) -> Tensor:
    """NT-Xent that holds forgotten images to one another rather than each to itself, and drives their views apart.

    Args:
        anchors: (N, D) unit-norm embeddings of a view of each image of the batch.
        keys: (N, D) of a second view: of a retained image its own, of a forgotten one that of *another* forgotten one.
        own: (K, D) of a further view of each of the K forgotten images, in the order of ``anchors``.
        forgotten: (N,) bool, K of them true.
        temperature: divisor of the cosine similarities, > 0.
        negative_weight: α, how much a forgotten row counts in NT-Xent beside a retained one.
        positive_weight: β, of the mean similarity of two views of a forgotten image, times their share of the batch.

    Returns:
        Scalar, in nats; over processes as in ``nt_xent``, with as many forgotten images in each.

    Source: Wang et al., "Alignment Calibration" (TMLR 2025, arXiv 2406.03603); NT-Xent in both directions, as it is
    here wherever an encoder is trained.
    """
    logits, positives = anchor_logits(anchors, keys, temperature)
    weights = torch.where(forgotten, negative_weight, 1.0).repeat(2)
    contrast = (weights * F.cross_entropy(logits, positives, reduction="none")).mean()
    alike = (anchors[forgotten] * own).sum(1).mean()
    return contrast + positive_weight * forgotten.to(alike.dtype).mean() * alike
