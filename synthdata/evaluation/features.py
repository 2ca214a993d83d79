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
        rows = range(start, min(start + BATCH, count))
        pixels = images.pixels[rows.start : rows.stop] if images.pixels is not None else torch.stack([images[i] for i in rows])
        batches.append(encoder.features(to_float(pixels.to(device))).float().cpu())
    encoder.train(training)
    return torch.cat(batches)
