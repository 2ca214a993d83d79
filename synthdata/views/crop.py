"""Random resized crop and horizontal flip, as one resampling."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_ATTEMPTS = 10


def draw_boxes(
    batch: int, scale: tuple[float, float], ratio: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Crop boxes of a square image, distributed as torchvision's ``RandomResizedCrop`` but not in whole pixels.

    Area and aspect ratio are drawn up to ten times until the box fits; all attempts are drawn at once, so that no
    sample waits for another and the device is never asked for an answer.

    Args:
        batch: number of boxes N.
        scale: bounds of the box's area, as a fraction of the image's.
        ratio: bounds of width over height, drawn log-uniformly.
        generator: source of randomness; its device is the result's.

    Returns:
        (N, 4) top, left, height, width as fractions of the image's side.
    """
    area = torch.empty(batch, _ATTEMPTS, device=generator.device).uniform_(*scale, generator=generator)
    log_ratio = torch.empty_like(area).uniform_(math.log(ratio[0]), math.log(ratio[1]), generator=generator)
    side = (area.log()[..., None] + torch.stack((-log_ratio, log_ratio), -1)).mul(0.5).exp()
    closest_to_square = min(max(1.0, ratio[0]), ratio[1])
    # filled, not copied from the host, which would have to wait for the device
    tallest = side.new_full((batch, 1), min(1.0, 1 / closest_to_square))
    widest = side.new_full((batch, 1), min(1.0, closest_to_square))
    side = torch.cat((side, torch.stack((tallest, widest), -1)), 1)
    first_that_fits = (side <= 1).all(-1).byte().argmax(1)
    side = side.gather(1, first_that_fits[:, None, None].expand(batch, 1, 2)).squeeze(1)
    corner = torch.rand(batch, 2, generator=generator, device=generator.device) * (1 - side)
    return torch.cat((corner, side), 1)


def resized_crop(images: Tensor, box: Tensor, flip: Tensor) -> Tensor:
    """Crop each image to its box, mirror it where asked, and resize it back, in one bilinear ``grid_sample``.

    Equal to torchvision's ``resized_crop(..., antialias=False)``: samples are taken inside the box only. A box is never
    larger than the output, so nothing is reduced and anti-aliasing would change nothing.

    Args:
        images: (N, C, H, W).
        box: (N, 4) top, left, height, width as fractions of the image.
        flip: (N,) bool, mirror left and right.

    Returns:
        (N, C, H, W); differentiable once in ``images``.
    """
    height, width = images.shape[-2:]
    box = box.to(images.dtype)
    rows = _sample_positions(box[:, 0], box[:, 2], height)
    columns = _sample_positions(box[:, 1], box[:, 3], width)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def horizontal_flip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirror the (N, C, H, W) images where the (N,) bool ``flip`` asks for it."""
    return torch.where(flip[:, None, None, None], images.flip(-1), images)


def _sample_positions(start: Tensor, extent: Tensor, size: int) -> Tensor:
    """Where ``size`` pixels read along one axis: (N, size), with the image's edges at -1 and 1."""
    centres = (torch.arange(size, device=start.device, dtype=start.dtype) + 0.5) / size
    # half a source pixel from the box's edge, so that no neighbour outside the box is mixed in
    margin = (extent / 2).clamp_max(0.5 / size)[:, None]
    first, last = start[:, None] + margin, (start + extent)[:, None] - margin
    return torch.clamp(torch.addcmul(start[:, None], extent[:, None], centres), first, last) * 2 - 1
