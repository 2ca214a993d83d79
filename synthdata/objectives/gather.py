"""Gathering a batch from all processes, with gradient."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        gathered = rows.new_empty(dist.get_world_size() * rows.shape[0], *rows.shape[1:])
        dist.all_gather_into_tensor(gathered, rows.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def all_gather_with_gradient(rows: Tensor) -> Tensor:
    """Concatenate every process's ``rows`` in order of rank; the identity in a single process.

    Args:
        rows: (N, ...), with equal N in every process.

    Returns:
        (world_size · N, ...). The backward pass sums the gradients of all processes' uses of a row.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    return _AllGather.apply(rows)
