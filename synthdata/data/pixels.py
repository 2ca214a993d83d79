"""Between stored pixels (uint8) and the models' images (float in [-1, 1])."""

import torch
from torch import Tensor


def to_float(pixels: Tensor) -> Tensor:
    """Stored pixels as the models read them: uint8 in [0, 255] to float32 in [-1, 1], any shape."""
    return pixels.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Images as they are stored: float to uint8, values outside [-1, 1] clipped; the inverse of `to_float`."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
