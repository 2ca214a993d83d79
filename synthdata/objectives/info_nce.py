"""InfoNCE between queries and keys, as the methods with other keys than views use it."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from synthdata.objectives.gather import all_gather_with_gradient


def queue_info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Cross entropy of each query's own key against a queue of earlier keys.

    Args:
        queries: (N, D) unit-norm embeddings.
        keys: (N, D) unit-norm embeddings; row i is the positive of ``queries[i]``.
        queue: (K, D) unit-norm embeddings of other images, the negatives.
        temperature: divisor of the cosine similarities, > 0.

    Returns:
        Scalar, in nats: the mean over this process's queries.

    Source: MoCo (He et al., CVPR 2020, equation 1).
    """
    positive = (queries * keys).sum(1, keepdim=True)
    logits = torch.cat([positive, queries @ queue.T], dim=1) / temperature
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def batch_info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Cross entropy of each query's own key against the keys of the batch, of all processes.

    Args:
        queries: (N, D) unit-norm embeddings.
        keys: (N, D) unit-norm embeddings; row i is the positive of ``queries[i]``.
        temperature: divisor of the cosine similarities, > 0.

    Returns:
        Scalar, in nats: the mean over this process's queries.

    Source: MoCo v3 (Chen et al., ICCV 2021, section 3), whose algorithm 1 multiplies it by twice the temperature.
    """
    rank = dist.get_rank() if dist.is_initialized() else 0
    own = torch.arange(len(queries), device=queries.device) + rank * len(queries)
    logits = queries @ all_gather_with_gradient(keys).T / temperature
    return F.cross_entropy(logits, own)
