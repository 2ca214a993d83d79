"""Hardness of a sample for the encoder as it is now, and the bounded form that a generator maximises."""

import torch
import torch.nn.functional as F
from torch import Tensor


def hardness(view_1: Tensor, view_2: Tensor, bank: Tensor, temperature: float, own: Tensor | None = None) -> Tensor:
    """NT-Xent loss of each sample's two views, with a fixed bank of real embeddings as the negatives.

    Unlike the batch loss it does not depend on the other samples, so it can be compared between samples and steps
    that share a bank.

    Args:
        view_1: (N, D) unit-norm embeddings of the samples' first views.
        view_2: (N, D) unit-norm embeddings of their second views.
        bank: (M, D) unit-norm embeddings of real images.
        temperature: divisor of the cosine similarities, > 0.
        own: (N, M) bool, true where a bank row shows the sample itself, which is then no negative; for real samples.

    Returns:
        (N,) nats, non-negative; the mean over both views as the anchor.

    Source: the adversarial objective of Wu et al., "Synthetic Data Can Also Teach" (AAAI 2023), per sample.
    """
    positive = (view_1 * view_2).sum(1, keepdim=True)
    anchors = torch.stack([view_1, view_2])
    negatives = anchors @ bank.T
    if own is not None:
        negatives = negatives.masked_fill(own, float("-inf"))
    logits = torch.cat([positive.expand(2, -1, 1), negatives], dim=2) / temperature
    return (logits.logsumexp(2) - logits[:, :, 0]).mean(0)


def bounded_hardness(sample_hardness: Tensor, realism: Tensor, ceiling: Tensor, realism_floor: Tensor) -> Tensor:
    """The hardness that a generator is paid for: smoothly capped, and only where the sample still looks real.

    Without a bound the hardest "sample" is not an image. A sample above ``ceiling`` gains nothing from growing harder,
    and one under ``realism_floor`` gains nothing from being hard.

    Args:
        sample_hardness: (N,) nats, differentiable.
        realism: (N,) scores of the same samples; only compared, never differentiated.
        ceiling: scalar, nats.
        realism_floor: scalar, in units of ``realism``.

    Returns:
        Scalar: the mean over the batch of the capped hardness of samples above the floor, in nats.
    """
    capped = ceiling - F.softplus(ceiling - sample_hardness)
    return torch.where(realism.detach() >= realism_floor, capped, 0.0).mean()
