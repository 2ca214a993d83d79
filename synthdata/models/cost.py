"""What an encoder's features cost: weights, operations, and time."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from synthdata.models.encoder import Encoder


@dataclass(frozen=True)
class Cost:
    """Attributes:
    parameters: of the backbone, without the projection head, which is left out once training is over.
    operations: for the features of one image; a multiplication and an addition are two.
    """

    parameters: int
    operations: int


def cost_of(encoder: Encoder) -> Cost:
    """What the features of one image cost, counted."""
    weight = next(encoder.parameters())
    image = weight.new_zeros(1, encoder.channels, encoder.image_size, encoder.image_size)
    training = encoder.training
    encoder.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder.features(image)
    encoder.train(training)
    return Cost(sum(weight.numel() for weight in encoder.backbone.parameters()), counter.get_total_flops())


@torch.inference_mode()
def images_per_second(encoders: Sequence[Encoder], batch: int = 64, rounds: int = 9) -> list[float]:
    """How many images' features each encoder makes in a second, on its device; the medians of interleaved rounds."""
    seconds: list[list[float]] = [[] for _ in encoders]
    for turn in range(rounds + 1):
        for encoder, measured in zip(encoders, seconds, strict=True):
            encoder.eval()
            images = next(encoder.parameters()).new_zeros(batch, encoder.channels, *[encoder.image_size] * 2)
            began = time.perf_counter()
            encoder.features(images).sum().item()
            if turn:  # the first one prepares kernels
                measured.append(time.perf_counter() - began)
    return [batch / statistics.median(measured) for measured in seconds]
