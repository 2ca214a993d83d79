"""NT-Xent with its negatives corrected for false ones, and weighted by how hard they are."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from synthdata.objectives.contrastive import anchor_logits


class Related(NamedTuple):
    """Negatives of each pair beside those of the batch.

    Attributes:
        embeddings: (N, K, D) unit-norm; row i are negatives of both views of pair i.
        weights: (N, K) how much each counts beside a negative of the batch; 0 for not at all.
        suspected: (N, K) bool: which may be positives.
    """

    embeddings: Tensor
    weights: Tensor
    suspected: Tensor


def debiased_nt_xent(
    view_1: Tensor, view_2: Tensor, temperature: float, class_prior: float, related: Related | None = None
) -> Tensor:
    """NT-Xent whose negatives are corrected for those that are of the anchor's own class.

    Args:
        view_1: (N, D) unit-norm embeddings of the first views; likewise ``view_2``, as in ``nt_xent``.
        temperature: divisor of the cosine similarities, > 0.
        class_prior: τ⁺, the probability that a negative is of the anchor's class, in [0, 1); 0 gives NT-Xent.
        related: more negatives; of this process's pairs alone.

    Returns:
        Scalar, in nats; over processes as in ``nt_xent``.

    Source: Chuang et al., "Debiased Contrastive Learning" (NeurIPS 2020), equations 7 and 8, with one positive.
    """
    return hard_negative_nt_xent(view_1, view_2, temperature, class_prior, 0.0, related)


def hard_negative_nt_xent(
    view_1: Tensor,
    view_2: Tensor,
    temperature: float,
    class_prior: float,
    concentration: float,
    related: Related | None = None,
) -> Tensor:
    """Debiased NT-Xent whose negatives count in proportion to exp(β · similarity / temperature).

    Args:
        view_1: (N, D) unit-norm embeddings of the first views; likewise ``view_2``, as in ``nt_xent``.
        temperature: divisor of the cosine similarities, > 0.
        class_prior: τ⁺, as in ``debiased_nt_xent``.
        concentration: β ≥ 0; 0 counts all negatives alike.
        related: more negatives; of this process's pairs alone.

    Returns:
        Scalar, in nats; over processes as in ``nt_xent``.

    Source: Robinson et al., "Contrastive Learning with Hard Negative Samples" (ICLR 2021), equation 4 and appendix D.
    """
    negatives = _Negatives.of(view_1, view_2, temperature, related)
    biased = negatives.sum_over_positive(concentration)
    # No sum of so many negatives is lower than if all were opposite to the anchor.
    least = negatives.total * (-1 / temperature - negatives.positive).exp()
    ratio = torch.maximum((biased - class_prior * negatives.total) / (1 - class_prior), least)
    return ratio.log1p().mean()


def hasa_nt_xent(
    view_1: Tensor, view_2: Tensor, temperature: float, tau: float, concentration: float, related: Related
) -> Tensor:
    """NT-Xent with hard negatives, corrected by those that a graph suspects to be true.

    The expected share of false negatives, which the debiased loss takes to be like the positive, is taken to be like
    the suspected ones of an anchor; like its positive where it has none.

    Args:
        view_1: (N, D) unit-norm embeddings of the first views; likewise ``view_2``, as in ``nt_xent``.
        tau: τ, the probability that a negative is false, in [0, 1).
        concentration: β, as in ``hard_negative_nt_xent``; the paper's proposal has 1.
        related: negatives beside those of the batch.

    Returns:
        Scalar, in nats; over processes as in ``nt_xent``.

    Source: Zhang et al., "HaSa: Hardness and Structure-Aware Contrastive Knowledge Graph Embedding" (WWW 2024,
    arXiv 2305.10563), with cosines over a temperature in the place of scores.
    """
    negatives = _Negatives.of(view_1, view_2, temperature, related)
    false = negatives.false_over_positive(concentration, related)
    biased = negatives.sum_over_positive(concentration)
    ratio = (biased - tau * negatives.total * false).clamp_min(0.0) / (1 - tau)
    return ratio.log1p().mean()


@dataclass(frozen=True)
class _Negatives:
    """Logits of 2N anchors with their negatives, those of the batch before the related ones, and their weights.

    Attributes:
        positive: (2N,) the logit of each anchor's positive.
        logits: (2N, M) of its negatives.
        log_weights: (2N, M); −inf for what is no negative of the anchor.
        total: (2N,) the sum of the weights.
        batch: how many of the M are of the batch.
    """

    positive: Tensor
    logits: Tensor
    log_weights: Tensor
    total: Tensor
    batch: int

    @classmethod
    def of(cls, view_1: Tensor, view_2: Tensor, temperature: float, related: Related | None) -> "_Negatives":
        logits, positives = anchor_logits(view_1, view_2, temperature)
        positive = logits.gather(1, positives[:, None])
        excluded = logits.isneginf().scatter(1, positives[:, None], True)
        weights = (~excluded).to(logits.dtype)
        logits = logits.masked_fill(excluded, 0.0)
        batch = logits.shape[1]
        if related is not None:
            anchors = torch.stack([view_1, view_2])
            others = torch.einsum("vnd,nkd->vnk", anchors, related.embeddings).flatten(0, 1) / temperature
            logits = torch.cat([logits, others], 1)
            weights = torch.cat([weights, related.weights.to(weights.dtype).repeat(2, 1)], 1)
        return cls(positive[:, 0], logits, weights.log(), weights.sum(1), batch)

    def sum_over_positive(self, concentration: float) -> Tensor:
        """(2N,) the weighted sum of the negatives over the positive, in logarithms, which do not overflow."""
        upper = ((1 + concentration) * self.logits + self.log_weights).logsumexp(1)
        lower = (concentration * self.logits + self.log_weights).logsumexp(1)
        return (upper - lower + self.total.log() - self.positive).exp()

    def false_over_positive(self, concentration: float, related: Related) -> Tensor:
        """(2N,) the mean of the suspected negatives, drawn in proportion to exp(β · logit), over the positive."""
        suspected = related.suspected.repeat(2, 1)
        some = suspected.any(1)
        taken = suspected | ~some[:, None]  # of an anchor without any, something finite: its gradient is dropped below
        upper, lower = (
            torch.where(taken, power * self.logits[:, self.batch :], float("-inf")).logsumexp(1)
            for power in (1 + concentration, concentration)
        )
        return torch.where(some, (upper - lower - self.positive).exp(), 1.0)
