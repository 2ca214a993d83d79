"""The memorisation guard: how close a synthetic image comes to the training images.

A near copy is found as a near neighbour in embedding space or among coarse images, and confirmed by a pixel distance.
What counts as near comes from the training images themselves: see `RealNeighbours.copy_distance`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 8
"""Neighbours whose pixels are compared: that many in embedding space and as many among coarse images. The encoder
ignores some changes and may magnify others, so the image that a copy was made from need not be the very nearest."""

_COARSE_SIZE = 8

THUMBNAIL_SIZE = 16
"""Pixels are compared at no more than this size: averaging takes noise and compression out of the distance."""

SMALLEST_DISTANCE = 2 / 255
"""Closer than this is a copy even when the training images are closer to each other: it is rounding."""

_QUERIES = 2048
_ROWS_AT_ONCE = 256


def thumbnails(pixels: Tensor) -> Tensor:
    """Images (N, C, H, W) uint8, averaged down to at most 16 × 16, as rows (N, C · h · w) uint8."""
    size = min(pixels.shape[-1], THUMBNAIL_SIZE)
    return F.adaptive_avg_pool2d(pixels.float(), size).round().to(torch.uint8).flatten(1)


def coarse(pixels: Tensor) -> Tensor:
    """Images (N, C, H, W) uint8 in greyscale, averaged down to 8 × 8, as rows (N, 64) float32 in [0, 1]."""
    return F.adaptive_avg_pool2d(pixels.float().mean(1), _COARSE_SIZE).flatten(1) / 255


def pixel_distance(first: Tensor, second: Tensor) -> Tensor:
    """(N,) root mean square difference of the thumbnails of images (N, C, H, W) uint8, pixels in [0, 1]."""
    return _distance(thumbnails(first), thumbnails(second))


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Of thumbnails (…, D) uint8, which broadcast: (…) root mean square difference, pixels in [0, 1]."""
    return (first.float() - second.float()).square().mean(-1).sqrt() / 255


@dataclass(frozen=True)
class Nearest:
    """The training images closest to N images.

    Attributes:
        position: (N,) int64, of the nearest in embedding space.
        similarity: (N,) cosine similarity to it.
        pixel_distance: (N,) least root mean square difference of thumbnails, pixels in [0, 1], to any of the
            ``NEIGHBOURS`` nearest in embedding space and among coarse images.
    """

    position: Tensor
    similarity: Tensor
    pixel_distance: Tensor


@dataclass(frozen=True)
class RealNeighbours:
    """The training images as the guard compares with them.

    Attributes:
        embeddings: (M, P) unit-norm float32.
        thumbnails: (M, D) uint8.
        coarse: (M, 64) float32.
    """

    embeddings: Tensor
    thumbnails: Tensor
    coarse: Tensor

    @classmethod
    def of(cls, batches: Iterable[tuple[Tensor, Tensor]]) -> Self:
        """From batches of images (B, C, H, W) uint8, each after its unit-norm embeddings (B, P)."""
        parts = [(embeddings, thumbnails(pixels), coarse(pixels)) for embeddings, pixels in batches]
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def nearest(self, embeddings: Tensor, images: Tensor) -> Nearest:
        """Compare with images (N, C, H, W) uint8 that have these unit-norm ``embeddings`` (N, P)."""
        similarity, closeness = embeddings @ self.embeddings.T, self._closeness(coarse(images))
        return self._nearest(similarity, closeness, thumbnails(images), len(self.embeddings))

    def own_distances(self) -> Tensor:
        """(K,) pixel distance of training images to the nearest other one, found as for a synthetic image.

        At most 2048 evenly spaced images are asked. Exact duplicates tell nothing about how far apart different images
        are, and are left out.
        """
        count = len(self.embeddings)
        if count < 2:
            return torch.empty(0)
        queries = torch.arange(0, count, -(-count // _QUERIES), device=self.embeddings.device)
        distances = []
        for rows in queries.split(_ROWS_AT_ONCE):
            similarity, closeness = self.embeddings[rows] @ self.embeddings.T, self._closeness(self.coarse[rows])
            for values in (similarity, closeness):
                values[torch.arange(len(rows), device=rows.device), rows] = -torch.inf
            distances.append(self._nearest(similarity, closeness, self.thumbnails[rows], count - 1).pixel_distance)
        measured = torch.cat(distances)
        return measured[measured > 0]

    def copy_distance(self, quantile: float) -> float:
        """The pixel distance up to which an image is a near copy.

        It is the ``quantile`` of the training images' own distances: by construction, about that share of unseen real
        images would be taken for copies, which is what a stricter guard costs.
        """
        distances = self.own_distances()
        typical = float(distances.double().quantile(quantile)) if len(distances) else 0.0
        return max(typical, SMALLEST_DISTANCE)

    def _closeness(self, queries: Tensor) -> Tensor:
        """(N, M) values, the higher the closer the training images' coarse images are to ``queries`` (N, 64)."""
        return 2 * queries @ self.coarse.T - self.coarse.square().sum(1)

    def _nearest(self, similarity: Tensor, closeness: Tensor, queries: Tensor, others: int) -> Nearest:
        """Of (N, M) similarities and closenesses and (N, D) thumbnails, among ``others`` training images."""
        count = min(NEIGHBOURS, others)
        most_similar = similarity.topk(count, dim=1)
        compared = torch.cat([most_similar.indices, closeness.topk(count, dim=1).indices], dim=1)
        distances = _distance(self.thumbnails[compared], queries[:, None])
        return Nearest(most_similar.indices[:, 0], most_similar.values[:, 0], distances.amin(1))
