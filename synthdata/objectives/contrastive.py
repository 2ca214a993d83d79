"""NT-Xent, the contrastive loss of SimCLR (Chen et al., ICML 2020, section 2.1), for one positive and for several."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from synthdata.objectives.gather import all_gather_with_gradient


def nt_xent(view_1: Tensor, view_2: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy over a batch of positive pairs.

    Every embedding is an anchor: its positive is the other embedding of its pair, its negatives are all other
    embeddings of the batch. In a multi-process run the batch is gathered from all processes, with gradient, and the
    returned value is the mean over this process's anchors: the mean over processes is the loss of the whole batch.

    Args:
        view_1: (N, D) unit-norm embeddings of the first views.
        view_2: (N, D) unit-norm embeddings of the second views; row i is the positive of ``view_1[i]``.
        temperature: divisor of the cosine similarities, > 0.

    Returns:
        Scalar, in nats.

    Example:
        >>> z = torch.nn.functional.normalize(torch.randn(2, 8, 16), dim=-1)
        >>> loss = nt_xent(z[0], z[1], temperature=0.5)
    """
    logits, positives = anchor_logits(view_1, view_2, temperature)
    return F.cross_entropy(logits, positives)


def multi_positive_nt_xent(view_1: Tensor, view_2: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """NT-Xent whose anchors have all other embeddings of their group as positives.

    An anchor's loss is the mean over its positives; each is told from all other embeddings, other positives included.
    Where every row is a group of its own this is ``nt_xent``.

    Args:
        view_1: (N, D) unit-norm embeddings; likewise ``view_2``, as in ``nt_xent``.
        groups: (N,) int64, equal for rows that are positives of each other, over all processes. Rows of groups below 0
            are no negatives of those of other groups, but have them all for theirs.
        temperature: divisor of the cosine similarities, > 0.

    Returns:
        Scalar, in nats.

    Source: Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020, equation 2).
    """
    logits, _ = anchor_logits(view_1, view_2, temperature)
    own, others = groups.repeat(2)[:, None], all_gather_with_gradient(groups).repeat(2)
    logits = logits.masked_fill((own >= 0) & (others < 0), float("-inf"))
    is_positive = (own == others) & logits.isfinite()
    surprise = -logits.log_softmax(1).masked_fill(~is_positive, 0)
    return (surprise.sum(1) / is_positive.sum(1)).mean()


def anchor_logits(view_1: Tensor, view_2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Similarities of this process's 2N anchors with the embeddings of all processes, over the temperature.

    Args:
        view_1: (N, D) unit-norm embeddings; likewise ``view_2``, as in ``nt_xent``.

    Returns:
        (2N, 2M) logits, M being the pairs of all processes, with −inf where an anchor meets itself; and the (2N,)
        columns of the anchors' positives.
    """
    local = view_1.shape[0]
    rank = dist.get_rank() if dist.is_initialized() else 0
    all_1, all_2 = all_gather_with_gradient(view_1), all_gather_with_gradient(view_2)
    total = all_1.shape[0]

    rows = torch.arange(local, device=view_1.device) + rank * local
    own_column = torch.cat([rows, rows + total])
    positive_column = torch.cat([rows + total, rows])
    logits = torch.cat([view_1, view_2]) @ torch.cat([all_1, all_2]).T / temperature
    return logits.scatter(1, own_column[:, None], float("-inf")), positive_column
