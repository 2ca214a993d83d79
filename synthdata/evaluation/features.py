"""What a network in evaluation mode makes of the images of a split."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from synthdata.data import Images, to_float
from synthdata.models import Encoder

BATCH = 512


def extract_features(encoder: Encoder, images: Images, device: torch.device, limit: int | None = None) -> Tensor:
    """Features of the first ``limit`` images, un-augmented, by the encoder in evaluation mode.

    Returns:
        (N, feature_dim) float32 on the CPU.
    """
    return map_images(encoder.features, encoder, images, device, limit)


@torch.inference_mode()
def map_images(
    function: Callable[[Tensor], Tensor],
    network: nn.Module,
    images: Images,
    device: torch.device,
    limit: int | None = None,
) -> Tensor:
    """``function`` of the first ``limit`` images, batch by batch, with ``network`` in evaluation mode meanwhile.

    Args:
        function: maps (B, C, H, W) in [-1, 1] on ``device`` to (B, D).

    Returns:
        (N, D) float32 on the CPU.
    """
    count = len(images) if limit is None else min(limit, len(images))
    batches = []
    with evaluated(network):
        for positions in torch.arange(count).split(BATCH):
            pixels = images.gather(positions).to(device)
            batches.append(function(to_float(pixels)).float().cpu())
    return torch.cat(batches)


@contextlib.contextmanager
def evaluated(network: nn.Module) -> Iterator[None]:
    """Hold ``network`` in evaluation mode."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
