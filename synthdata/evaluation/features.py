"""Frozen features of real images."""

import torch
from torch import Tensor

from synthdata.data import Images, to_float
from synthdata.models import Encoder

BATCH = 512


@torch.inference_mode()
def extract_features(encoder: Encoder, images: Images, device: torch.device, limit: int | None = None) -> Tensor:
    """Features of the first ``limit`` images, un-augmented, by the encoder in evaluation mode.

    Returns:
        (N, feature_dim) float32 on the CPU.
    """
    training = encoder.training
    encoder.eval()
    count = len(images) if limit is None else min(limit, len(images))
    batches = []
    for start in range(0, count, BATCH):
        stop = min(start + BATCH, count)
        if images.pixels is not None:
            pixels = images.pixels[start:stop]
        else:
            pixels = torch.stack([images[i] for i in range(start, stop)])
        batches.append(encoder.features(to_float(pixels.to(device))).float().cpu())
    encoder.train(training)
    return torch.cat(batches)
