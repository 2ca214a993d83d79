"""What was drawn for a batch of views, one entry per sample."""

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class SampleParameters:
    """Base of dataclasses whose fields are all tensors with the sample as their first dimension."""

    def __getitem__(self, samples: slice | Tensor) -> Self:
        """The parameters of some samples, such as one process's slice of the global batch."""
        return type(self)(**{name: value[samples] for name, value in self._tensors().items()})

    def to(self, device: torch.device | str) -> Self:
        """The same parameters on ``device``."""
        return type(self)(**{name: value.to(device) for name, value in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class ViewParameters(SampleParameters):
    """Parameters of N views. What is not applied to a sample holds the value that leaves it unchanged."""

    box: Tensor  # (N, 4) top, left, height, width of the crop, as fractions of the image
    flip: Tensor  # (N,) bool, horizontal
    brightness: Tensor  # (N,) factor, 1 leaves unchanged
    contrast: Tensor  # (N,) factor, 1 leaves unchanged
    saturation: Tensor  # (N,) factor, 1 leaves unchanged, 0 is greyscale
    hue: Tensor  # (N,) turns, 0 leaves unchanged
    blur_sigma: Tensor  # (N,) pixels, 0 leaves unchanged
    noise: Tensor  # (N, C, H, W) added to the pixels; (N, 1, 1, 1) of zeros for views without noise

    @classmethod
    def unchanged(cls, batch: int, device: torch.device | str = "cpu") -> Self:
        """The parameters under which every view is its image."""
        ones, zeros = torch.ones(batch, device=device), torch.zeros(batch, device=device)
        return cls(
            box=torch.tensor([0.0, 0.0, 1.0, 1.0], device=device).repeat(batch, 1),
            flip=zeros.bool(),
            brightness=ones,
            contrast=ones,
            saturation=ones,
            hue=zeros,
            blur_sigma=zeros,
            noise=zeros[:, None, None, None],
        )


@dataclass(frozen=True)
class DiffAugmentParameters(SampleParameters):
    """Parameters of DiffAugment for N images."""

    brightness: Tensor  # (N,) added to the pixels
    saturation: Tensor  # (N,) factor about the channel mean of each pixel
    contrast: Tensor  # (N,) factor about the mean of each image
    shift: Tensor  # (N, 2) int64, pixels down and right
    hole: Tensor  # (N, 2) int64, top and left pixel of the cutout square; may lie outside the image
