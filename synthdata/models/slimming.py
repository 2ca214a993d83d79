"""Slim encoders: the channels of a trained or training one that weigh most, as an encoder of their own."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from synthdata.models.channels import Channels
from synthdata.models.encoder import Encoder

FEWEST = 8
"""A layer with fewer channels passes too little on."""


def slim_widths(channels: Channels, ratio: float) -> dict[str, int]:
    """Channels that each group keeps: the share ``ratio``, rounded down, and at least 1.

    Groups of 16 or more keep at least ``FEWEST``; smaller ones are heads of a transformer, or were narrow before.
    """
    # a product such as 0.29 · 100 may come out just below the whole number that it is
    return {
        group: max(math.floor(ratio * size + 1e-9), FEWEST if size >= 2 * FEWEST else 1)
        for group, size in channels.sizes.items()
    }


def largest(norms: Mapping[str, Tensor], widths: Mapping[str, int]) -> dict[str, Tensor]:
    """The channels of largest norm of each group, in increasing order; of equal ones the earlier.

    Args:
        norms: (size of the group,) by group.
        widths: channels to keep, by group.
    """
    order = {group: torch.sort(norm, descending=True, stable=True).indices for group, norm in norms.items()}
    return {group: order[group][:width].sort().values for group, width in widths.items()}


def cut_out(encoder: Encoder, kept: Mapping[str, Tensor]) -> Encoder:
    """The encoder that the ``kept`` channels of ``encoder`` make, with copies of their weights and batch statistics.

    Args:
        encoder: of any width; it is left as it is.
        kept: increasing positions of channels, by group of ``encoder.tied_channels()``.

    Returns:
        What ``encoder`` computes where every other channel is 0.
    """
    widths = {group: len(positions) for group, positions in kept.items()}
    slim = Encoder(**encoder.settings, widths=widths)
    with torch.no_grad():
        slim.load_state_dict(encoder.tied_channels().select(encoder.state_dict(), kept))
    weight = next(encoder.parameters())
    return slim.to(weight.device, weight.dtype).train(encoder.training)


def cut_by_norm(encoder: Encoder, ratio: float) -> Encoder:
    """``encoder`` with the share ``ratio`` of the channels of each group, those whose weights have the largest L1 norm.

    Li et al., "Pruning Filters for Efficient ConvNets" (ICLR 2017), with tied channels scored together.
    """
    channels = encoder.tied_channels()
    norms = channels.norms(encoder.state_dict())
    return cut_out(encoder, largest(norms, slim_widths(channels, ratio)))


@torch.no_grad()
def estimate_statistics(encoder: Encoder, batches: Iterable[Tensor]) -> None:
    """Set the batch statistics of ``encoder`` to the means over ``batches`` of images in [−1, 1], in place."""
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    training = encoder.training
    encoder.train()
    for number, images in enumerate(batches, 1):
        for norm in norms:
            norm.momentum = 1 / number  # a mean over all batches rather than a moving one
        encoder(images)
    encoder.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
