"""What the memorisation guard knows of images that were taken down: embeddings and perceptual hashes, no image.

A near copy of a forgotten image is refused at a wider distance than one of an image that is still trained on. How wide
comes from the retained images: a share of these, which have nothing to do with the forgotten ones, would be refused.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from synthdata.errors import MisuseError

FILE = "forgotten.safetensors"
"""In a run directory."""

REFUSED = 0.05
"""Share of the retained images that the guard would take for a copy of a forgotten one, by each of its two distances:
as many as the guard of all training images takes for copies of any. As the forgotten images are few, it reaches
further from each."""

LEAST_BITS = 6
"""Hashes that differ in as many of their 64 bits are of one image, whatever the quantile says: a recoded copy differs
in two or three."""

_FREQUENCIES = 8
_SIDE = 32


@dataclass(frozen=True)
class Forgotten:
    """Images that were taken down, as the guard knows them.

    Attributes:
        embeddings: (K, P) unit-norm float32.
        hashes: (K, 64) bool.
        similarity: cosine similarity from which on an image is a near copy.
        bits: so many bits of a hash may differ in a near copy.
    """

    embeddings: Tensor
    hashes: Tensor
    similarity: float
    bits: int

    @classmethod
    def of(cls, forgotten: Iterable[tuple[Tensor, Tensor]], retained: Iterable[tuple[Tensor, Tensor]]) -> Self:
        """From batches of images (B, C, H, W) uint8, each after its unit-norm embeddings (B, P)."""
        parts = [(embeddings, perceptual_hash(pixels)) for embeddings, pixels in forgotten]
        embeddings, hashes = (torch.cat(column) for column in zip(*parts, strict=True))
        near = [_nearest(embeddings, hashes, others, pixels) for others, pixels in retained]
        similarity, bits = (torch.cat(column).double() for column in zip(*near, strict=True))
        return cls(
            embeddings,
            hashes,
            float(similarity.quantile(1 - REFUSED)),
            # the largest distance that no more than the share of retained images keeps to
            max(math.ceil(float(bits.quantile(REFUSED))) - 1, LEAST_BITS),
        )

    def near(self, embeddings: Tensor, images: Tensor) -> Tensor:
        """(N,) bool: which of the images (N, C, H, W) uint8, with unit-norm ``embeddings`` (N, P), are near copies."""
        similarity, bits = _nearest(
            self.embeddings.to(images.device), self.hashes.to(images.device), embeddings, images
        )
        return (similarity >= self.similarity) | (bits <= self.bits)

    def save(self, path: Path) -> None:
        """Write it as a safetensors file."""
        limits = {"similarity": repr(self.similarity), "bits": str(self.bits)}
        tensors = {"embeddings": self.embeddings.cpu().contiguous(), "hashes": self.hashes.cpu().contiguous()}
        save_file(tensors, path, limits)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What ``save`` wrote.

        Raises:
            MisuseError: it is damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                limits = file.metadata()
                embeddings, hashes = file.get_tensor("embeddings"), file.get_tensor("hashes")
            found = cls(embeddings, hashes, float(limits["similarity"]), int(limits["bits"]))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise MisuseError(f"{path} is damaged: restore it, or take the images down again") from error
        if embeddings.ndim != 2 or hashes.shape != (len(embeddings), 64) or hashes.dtype != torch.bool:
            raise MisuseError(f"{path} is damaged: restore it, or take the images down again")
        return found


def perceptual_hash(images: Tensor) -> Tensor:
    """64 bits of images (N, C, H, W) uint8: which low frequencies are above their median (N, 64).

    Of the greyscale image at 32 × 32 pixels, the 8 × 8 lowest coefficients of the discrete cosine transform, as pHash
    takes them (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010).
    """
    grey = images.float().mean(1, keepdim=True)
    if grey.shape[-1] != _SIDE:
        grey = F.interpolate(grey, (_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)
    places = torch.arange(_SIDE, device=grey.device)
    rows = torch.arange(_FREQUENCIES, device=grey.device)[:, None]
    basis = torch.cos(math.pi / _SIDE * (places + 0.5) * rows)
    low = (basis @ grey[:, 0] @ basis.T).flatten(1)
    return low > low[:, 1:].median(1, keepdim=True).values  # without the mean brightness, which outweighs the others


def _nearest(embeddings: Tensor, hashes: Tensor, others: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) highest similarity and (N,) fewest differing bits of N images to K forgotten ones."""
    own, known = perceptual_hash(images).float(), hashes.float()
    bits = own @ (1 - known).T + (1 - own) @ known.T  # exact: whole numbers up to 64
    return (others @ embeddings.T).amax(1), bits.amin(1)
