"""What makes steps faster on the hardware at hand without changing what they compute, but for rounding."""

import torch
from diffusers import ModelMixin
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from synthdata.errors import MisuseError
from synthdata.models import Encoder, Generator

_VARIANTS = 64
"""More than the arms and phases of one program have of any network."""


def use_fast_kernels(device: torch.device, mixed_precision: str) -> None:
    """Let a GPU choose its convolutions by trial, since batches keep their shape, and, with bf16, use TF32.

    Products that bf16 leaves in float32 take operands of 10 mantissa bits, still more than its own 7.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high" if mixed_precision == "bf16" else "highest")


def to_device(module: nn.Module, device: torch.device) -> None:
    """Move a network to ``device``; on a GPU its weights take the channels-last order of its activations."""
    if device.type == "cuda":
        module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:
        module.to(device)


def compile_networks(
    encoder: Encoder, generator: Generator | None, device: torch.device, backend: str = "inductor"
) -> None:
    """Compile, in place, the networks that training calls; names of weights stay the same.

    Args:
        backend: of ``torch.compile``.

    Raises:
        MisuseError: if nothing can be compiled here.
    """
    try:
        torch.compile(torch.sin, backend=backend)(torch.zeros(1, device=device))
    except TorchDynamoException as error:
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise MisuseError(
            f"train.compile needs a compiler that works ({reason}): install g++, or set train.compile to false"
        ) from error
    networks: list[nn.Module] = [encoder]
    if generator is not None:
        networks += [part for part in generator.modules() if isinstance(part, ModelMixin) and _is_trained(part)]
    # Every size of batch, and every choice of what is differentiated, compiles anew; past the limit nothing more would.
    torch._dynamo.config.recompile_limit = _VARIANTS
    for network in networks:
        network.compile(dynamic=False, backend=backend)


def _is_trained(network: nn.Module) -> bool:
    """Averages of weights are not; they are sampled too seldom to be worth compiling."""
    return any(parameter.requires_grad for parameter in network.parameters())
