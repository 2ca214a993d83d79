"""Colour jitter and greyscale, as one affine map of the colours per sample.

Brightness, saturation and hue are linear in a pixel's colour, and contrast pulls towards the image's mean luma. Each is
written here so that it keeps luma and neutral greys apart from its own effect, and then all of them commute: without
rounding to the displayable range in between, every order of the four gives the same colours. One matrix and one offset
per sample therefore stand for a random order, and the result is clamped once.
"""

import functools
import math

import torch
from torch import Tensor

from synthdata.views.parameters import ViewParameters

# ITU-R BT.601, the weights of greyscale conversion in PIL, torchvision and kornia
_LUMA = (0.299, 0.587, 0.114)


def adjust_color(images: Tensor, parameters: ViewParameters) -> Tensor:
    """Brightness, contrast, saturation and hue of each image by its own factors.

    Brightness, contrast and saturation are those of torchvision's ``adjust_*``. Hue turns the chroma about the grey
    axis and keeps luma, where torchvision turns the hue of HSV and keeps its value: hues agree to about two degrees,
    and the map stays linear. Greyscale images have no saturation or hue.

    Args:
        images: (N, C, H, W) in [-1, 1], C of 1 or 3.
        parameters: of N views; ``brightness``, ``contrast``, ``saturation`` and ``hue`` are used.

    Returns:
        (N, C, H, W) in [-1, 1]; differentiable.
    """
    brightness, contrast = parameters.brightness.to(images.dtype), parameters.contrast.to(images.dtype)
    means = images.mean((2, 3))
    gain = (brightness * contrast)[:, None, None]
    if images.shape[1] == 1:
        matrix, mean_luma = gain, means[:, 0]
    else:
        luma, chroma, quarter_turn = _color_basis(images.device, images.dtype)
        saturation, angle = parameters.saturation.to(images.dtype), 2 * math.pi * parameters.hue.to(images.dtype)
        along, across = (saturation * angle.cos())[:, None, None], (saturation * angle.sin())[:, None, None]
        matrix = gain * (luma + along * chroma + across * quarter_turn)
        mean_luma = means @ luma[0]
    # of b (c x + (1 - c) m) with x and m in [0, 1], rewritten for [-1, 1]
    offset = brightness * (1 - contrast) * mean_luma + brightness - 1
    return map_colors(images, matrix, offset).clamp(-1, 1)


def map_colors(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Send each pixel's colour x to ``matrix @ x + offset``.

    Args:
        images: (N, C, H, W).
        matrix: (N, C, C).
        offset: (N,).

    Returns:
        (N, C, H, W).
    """
    return torch.baddbmm(offset[:, None, None], matrix, images.flatten(2)).view_as(images)


@functools.cache
def _color_basis(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Three (3, 3) maps of a colour: to its luma, to its chroma, and to its chroma turned from red to green by 90°.

    Kept per device, since copying constants to a GPU makes the host wait for it.
    """
    with torch.inference_mode(False):
        luma = torch.tensor(_LUMA, dtype=torch.float64).expand(3, 3)
        chroma = torch.eye(3, dtype=torch.float64) - luma
        # the cross product with the grey axis (1, 1, 1) / sqrt(3)
        turn = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)
        return luma.to(device, dtype), chroma.to(device, dtype), (chroma @ turn).to(device, dtype)
