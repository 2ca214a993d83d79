"""Batch normalisation over the batch of all processes, on any device."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class _CrossProcessBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Stands in for ``torch.nn.SyncBatchNorm`` where that refuses to run: on the CPU. Assumes equal batches."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.dim())]
        count = dist.get_world_size() * input.numel() // input.shape[1]
        moments = _AllReduceSum.apply(torch.cat([input.sum(axes), input.square().sum(axes)])) / count
        mean, mean_square = moments.chunk(2)
        variance = mean_square - mean.square()
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        shape = [1, -1] + [1] * (input.dim() - 2)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return input * scale.view(shape) + (self.bias - mean * scale).view(shape)


def synchronise_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """Make every batch norm of ``module`` use the statistics of the whole batch of a multi-process run.

    Does nothing in a single process. Parameter names stay the same, so weights load either way.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return module
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.__class__ = _CrossProcessBatchNorm
    return module
