"""DiffAugment: the discriminator's augmentation, applied to real and generated images alike."""

import torch
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.views.color import map_colors
from synthdata.views.parameters import DiffAugmentParameters

_POLICIES = ("color", "translation", "cutout")
_TRANSLATION = 1 / 8
_CUTOUT = 1 / 2


class DiffAugment:
    """Colour, translation and cutout, random per sample (Zhao et al., NeurIPS 2020; strengths of its published code).

    Twice differentiable in the images, so that a gradient penalty may be taken through it. Unlike a view, the result
    may leave [-1, 1]: the paper does not clamp, and a clamp would hide saturated pixels from the generator.
    """

    def __init__(self, policy: str = "color,translation,cutout", image_size: int = 32) -> None:
        """Fix what is applied.

        Args:
            policy: comma-separated names among ``color``, ``translation`` and ``cutout``; empty applies nothing.
            image_size: pixels, square.

        Raises:
            MisuseError: an unknown name in ``policy``.
        """
        names = [name.strip() for name in policy.split(",") if name.strip()]
        for name in names:
            if name not in _POLICIES:
                raise MisuseError(f"DiffAugment has no policy {name!r}; choose among {', '.join(_POLICIES)}")
        self.image_size = image_size
        self._colors, self._translates, self._cuts = (name in names for name in _POLICIES)
        self._max_shift = int(image_size * _TRANSLATION + 0.5)
        self._hole_size = int(image_size * _CUTOUT + 0.5)

    def draw(self, batch: int, generator: torch.Generator) -> DiffAugmentParameters:
        """Parameters for ``batch`` images, on the generator's device: a function of these two alone."""

        def uniform(low: float, high: float) -> Tensor:
            return torch.empty(batch, device=generator.device).uniform_(low, high, generator=generator)

        def integers(low: int, high: int) -> Tensor:
            return torch.randint(low, high, (batch, 2), generator=generator, device=generator.device)

        return DiffAugmentParameters(
            brightness=uniform(-0.5, 0.5),
            saturation=uniform(0, 2),
            contrast=uniform(0.5, 1.5),
            shift=integers(-self._max_shift, self._max_shift + 1),
            hole=integers(0, self.image_size + 1 - self._hole_size % 2) - self._hole_size // 2,
        )

    def apply(self, images: Tensor, parameters: DiffAugmentParameters) -> Tensor:
        """Augment (N, C, H, W) images with the parameters of N samples; float32 if they are of lower precision."""
        parameters = parameters.to(images.device)
        with torch.autocast(images.device.type, enabled=False):
            if images.dtype in (torch.bfloat16, torch.float16):
                images = images.float()
            if self._colors:
                images = jitter(images, parameters)
            if self._translates:
                images = translate(images, parameters.shift)
            if self._cuts:
                images = cutout(images, parameters.hole, self._hole_size)
        return images

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment (N, C, H, W) images with parameters drawn from ``generator``."""
        return self.apply(images, self.draw(len(images), generator))


def jitter(images: Tensor, parameters: DiffAugmentParameters) -> Tensor:
    """Brightness, saturation, contrast of (N, C, H, W) images, in the paper's order, as one affine map per sample."""
    channels = images.shape[1]
    saturation, contrast = parameters.saturation.to(images.dtype), parameters.contrast.to(images.dtype)
    identity = torch.eye(channels, dtype=images.dtype, device=images.device)
    channel_mean = torch.full_like(identity, 1 / channels)
    matrix = torch.lerp(channel_mean, identity, saturation[:, None, None]) * contrast[:, None, None]
    offset = (1 - contrast) * images.mean((1, 2, 3)) + parameters.brightness.to(images.dtype)
    return map_colors(images, matrix, offset)


def translate(images: Tensor, shift: Tensor) -> Tensor:
    """Move each (N, C, H, W) image by its (N, 2) whole pixels down and right, filling with zero."""
    batch, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device) - shift[:, :1]
    columns = torch.arange(width, device=images.device) - shift[:, 1:]
    inside = _outer_and((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    source = source.view(batch, 1, -1).expand(batch, channels, height * width)
    return images.flatten(2).gather(2, source).view_as(images) * inside


def cutout(images: Tensor, hole: Tensor, size: int) -> Tensor:
    """Set a square of ``size`` pixels in each (N, C, H, W) image to zero, its top left pixel at the (N, 2) ``hole``."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) - hole[:, :1]
    columns = torch.arange(width, device=images.device) - hole[:, 1:]
    return images * ~_outer_and((rows >= 0) & (rows < size), (columns >= 0) & (columns < size))


def _outer_and(rows: Tensor, columns: Tensor) -> Tensor:
    """(N, 1, H, W) bool from (N, H) and (N, W)."""
    return (rows[:, :, None] & columns[:, None, :])[:, None]
