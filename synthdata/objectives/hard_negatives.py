"""NT-Xent with its negatives corrected for false ones, and weighted by how hard they are."""

import math

import torch
from torch import Tensor

from synthdata.objectives.contrastive import anchor_logits


def debiased_nt_xent(view_1: Tensor, view_2: Tensor, temperature: float, class_prior: float) -> Tensor:
    """NT-Xent whose negatives are corrected for those that are of the anchor's own class.

    Args:
        view_1: (N, D) unit-norm embeddings of the first views; likewise ``view_2``, as in ``nt_xent``.
        temperature: divisor of the cosine similarities, > 0.
        class_prior: τ⁺, the probability that a negative is of the anchor's class, in [0, 1); 0 gives NT-Xent.

    Returns:
        Scalar, in nats; over processes as in ``nt_xent``.

    Source: Chuang et al., "Debiased Contrastive Learning" (NeurIPS 2020), equations 7 and 8, with one positive.
    """
    return hard_negative_nt_xent(view_1, view_2, temperature, class_prior, concentration=0.0)


def hard_negative_nt_xent(
    view_1: Tensor, view_2: Tensor, temperature: float, class_prior: float, concentration: float
) -> Tensor:
    """Debiased NT-Xent whose negatives count in proportion to exp(β · similarity / temperature).

    Args:
        view_1: (N, D) unit-norm embeddings of the first views; likewise ``view_2``, as in ``nt_xent``.
        temperature: divisor of the cosine similarities, > 0.
        class_prior: τ⁺, as in ``debiased_nt_xent``.
        concentration: β ≥ 0; 0 counts all negatives alike.

    Returns:
        Scalar, in nats; over processes as in ``nt_xent``.

    Source: Robinson et al., "Contrastive Learning with Hard Negative Samples" (ICLR 2021), equation 4 and appendix D.
    """
    logits, positives = anchor_logits(view_1, view_2, temperature)
    positive = logits.gather(1, positives[:, None])
    excluded = logits.isneginf().scatter(1, positives[:, None], True)
    negatives, count = logits.masked_fill(excluded, 0.0), logits.shape[1] - 2

    def log_sum(exponents: Tensor) -> Tensor:
        return exponents.masked_fill(excluded, float("-inf")).logsumexp(1)

    # The weighted sum of the negatives over the positive, in logarithms, which do not overflow.
    reweighted = log_sum((1 + concentration) * negatives) - log_sum(concentration * negatives)
    biased = (reweighted + math.log(count) - positive[:, 0]).exp()
    # No sum of so many negatives is lower than if all were opposite to the anchor.
    least = count * (-1 / temperature - positive[:, 0]).exp()
    ratio = torch.maximum((biased - class_prior * count) / (1 - class_prior), least)
    return ratio.log1p().mean()
