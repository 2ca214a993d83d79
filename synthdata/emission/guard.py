"""The memorisation guard: how close a synthetic image comes to the training images.

A near copy is found as a near neighbour in embedding space and confirmed by a pixel distance. What counts as near comes
from the training images themselves: see `RealNeighbours.own_distances`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 32
"""Neighbours in embedding space whose pixels are compared. The encoder is trained to ignore small changes, so the image
that a copy was made from need not be the very nearest."""

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


@dataclass(frozen=True)
class Nearest:
    """The training images closest to N images.

    Attributes:
        position: (N,) int64, of the nearest in embedding space.
        similarity: (N,) cosine similarity to it.
        pixel_distance: (N,) least root mean square difference of thumbnails, pixels in [0, 1], to any of the
            ``NEIGHBOURS`` nearest in embedding space.
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
    """

    embeddings: Tensor
    thumbnails: Tensor

    def nearest(self, embeddings: Tensor, images: Tensor) -> Nearest:
        """Compare with images (N, C, H, W) uint8 that have these unit-norm ``embeddings`` (N, P)."""
        return self._nearest(embeddings @ self.embeddings.T, thumbnails(images))

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
            similarities = self.embeddings[rows] @ self.embeddings.T
            similarities[torch.arange(len(rows), device=rows.device), rows] = -torch.inf
            distances.append(self._nearest(similarities, self.thumbnails[rows]).pixel_distance)
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

    def _nearest(self, similarities: Tensor, queries: Tensor) -> Nearest:
        """Of (N, M) similarities and (N, D) thumbnails."""
        top = similarities.topk(min(NEIGHBOURS, similarities.shape[1]), dim=1)
        differences = self.thumbnails[top.indices].float() - queries.float()[:, None]
        distances = differences.square().mean(2).sqrt() / 255
        return Nearest(top.indices[:, 0], top.values[:, 0], distances.amin(1))
