"""What an anchor and its third view are to each other: a variant that a generator made of it, or one more real view."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from synthdata.objectives.contrastive import anchor_logits
from synthdata.objectives.gather import all_gather_with_gradient
from synthdata.objectives.similarity import pair_similarity


def alignment_loss(anchors: Tensor, positives: Tensor) -> Tensor:
    """Mean squared distance of unit-norm embeddings, which makes none of them a negative of another.

    Args:
        anchors: (N, D) embeddings; likewise ``positives``.

    Returns:
        Scalar in [0, 4]: 2 − 2 · cosine similarity.

    Source: Zeng et al., "Contrastive Learning with Synthetic Positives" (ECCV 2024).
    """
    return (2 - 2 * pair_similarity(anchors, positives)).mean()


def nt_xent_with_variants(view_1: Tensor, view_2: Tensor, variants: Tensor, temperature: float) -> Tensor:
    """NT-Xent whose anchors also have the variants of all other images as negatives, and their own as neither.

    Args:
        view_1: (N, D) unit-norm embeddings; likewise ``view_2``, as in ``nt_xent``.
        variants: (N, D) unit-norm embeddings; row i is of a variant of the image of ``view_1[i]``.
        temperature: divisor of the cosine similarities, > 0.

    Returns:
        Scalar, in nats.
    """
    logits, positives = anchor_logits(view_1, view_2, temperature)
    first = len(view_1) * (dist.get_rank() if dist.is_initialized() else 0)
    own = torch.arange(first, first + len(view_1), device=view_1.device).repeat(2)
    others = torch.cat([view_1, view_2]) @ all_gather_with_gradient(variants).T / temperature
    others = others.scatter(1, own[:, None], float("-inf"))
    return F.cross_entropy(torch.cat([logits, others], 1), positives)
