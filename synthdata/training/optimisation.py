"""Optimisers, their schedule, and gradients averaged over processes."""

import contextlib
import math
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn


def cosine_schedule(images: int, total: int, warmup: float) -> float:
    """Factor of the peak learning rate: a linear warm-up, then half a cosine to 0 (Loshchilov & Hutter, ICLR 2017).

    Args:
        images: images seen so far.
        total: images of the whole training.
        warmup: share of ``total`` over which the factor rises from 0 to 1.
    """
    progress = images / total
    if progress < warmup:
        return progress / warmup
    return (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2


def encoder_optimizer(module: nn.Module, kind: str, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """The encoder's optimiser: "adamw", or "sgd" with momentum 0.9; biases and norms are not decayed."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    free = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    if kind == "adamw":
        return torch.optim.AdamW(groups, learning_rate, fused=True)
    return torch.optim.SGD(groups, learning_rate, momentum=0.9, fused=True)


def adam(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Optimizer | None:
    """The optimiser of a generator or its critic; None where there is nothing to train."""
    trained = list(parameters)
    return torch.optim.Adam(trained, learning_rate, betas, fused=True) if trained else None


def step_optimizer(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Average the gradients over all processes, take one step at ``learning_rate``, and clear the gradients."""
    gradients = []
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
        gradients += [parameter.grad for parameter in group["params"] if parameter.grad is not None]
    if dist.is_initialized() and dist.get_world_size() > 1:
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def restore_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Give loaded state the memory order of its parameters: fused steps pair their elements as they lie in memory."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


@contextlib.contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Let gradients pass through ``modules`` to their inputs without reaching parameters or batch statistics."""
    modes = [module.training for module in modules]
    required = [[p for p in module.parameters() if p.requires_grad] for module in modules]
    for module in modules:
        module.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, mode, parameters in zip(modules, modes, required, strict=True):
            module.train(mode)
            for parameter in parameters:
                parameter.requires_grad_(True)
