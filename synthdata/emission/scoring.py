"""From latents to candidate images and everything that they are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthdata.data import to_float, to_uint8
from synthdata.emission.anchors import Anchors
from synthdata.emission.guard import RealNeighbours, pixel_distance
from synthdata.emission.kinds import DECIMALS, Kind
from synthdata.emission.run import Run
from synthdata.errors import FailureError
from synthdata.objectives import hardness, pair_similarity
from synthdata.rng import generator_at
from synthdata.views import RandomView, ViewParameters

BANK_SIZE = 2048
"""The first training images, whose embeddings are the negatives in hardness."""

VIEWS = 4
"""Hardness is the mean over all pairs of this many views, which are the same for every image. With two views drawn for
each image it would tell more of the crops than of the image: on digits, such a hardness correlates with the mean over
hundreds of pairs at 0.26, that of four views in common at 0.65."""


def forward_batch(device: torch.device) -> int:
    """Images that go through a model at once.

    It is a constant of the kind of hardware, whatever batch size was asked for, and short batches are filled up to it:
    the last bits of a network's output depend on the batch's shape, and a pixel's rounding may depend on those.
    """
    return 64 if device.type == "cpu" else 256


@dataclass(frozen=True)
class Candidates:
    """N candidate rows and their scores, on the CPU.

    Attributes:
        pixels: for each member, (N, H, W, C) uint8: one for hard samples, two for pairs.
        score: (N,) hardness in nats, or similarity.
        realism: (N,) the discriminator's score; of a pair, the lower one.
        nearest_real: (N,) index in the source of the training image nearest in embedding space; of a pair, nearest to
            either.
        nearest_similarity: (N,) cosine similarity to it.
        pixel_distance: (N,) as in ``guard.Nearest``; of a pair, the lower one.
        taken_down: (N,) bool: a near copy of an image that was taken down; of a pair, whether either is.
        anchors: what pairs of variants grew from.
    """

    pixels: tuple[NDArray[np.uint8], ...]
    score: NDArray[np.float64]
    realism: NDArray[np.float64]
    nearest_real: NDArray[np.int64]
    nearest_similarity: NDArray[np.float64]
    pixel_distance: NDArray[np.float64]
    taken_down: NDArray[np.bool_]
    anchors: Anchors | None = None


@dataclass(frozen=True)
class _Judged:
    """One member's images (N, C, H, W) uint8 with their embeddings, realism and nearest training images."""

    pixels: Tensor
    embeddings: Tensor
    realism: Tensor
    position: Tensor
    similarity: Tensor
    pixel_distance: Tensor
    taken_down: Tensor


@dataclass(frozen=True)
class Scorer:
    """Makes and judges candidates.

    Attributes:
        run: generator and encoder.
        real: the real images to compare with.
        views: parameters of one view each.
        device: where the models are.
    """

    run: Run
    real: RealNeighbours
    views: Sequence[ViewParameters]
    device: torch.device

    @torch.inference_mode()
    def score(self, kind: Kind, latents: Tensor) -> Candidates:
        """Candidates of ``kind`` from latents (N, *latent_shape), with N up to ``forward_batch``."""
        count, size = len(latents), forward_batch(self.device)
        filled = torch.cat([latents, latents.new_zeros(size - count, *latents.shape[1:])]).to(self.device)
        generator = self.run.generator
        first = self._judge(generator.sample(filled, "a", averaged=True))
        if kind == "hard":
            bank = self.real.embeddings[:BANK_SIZE]
            hard = mean_hardness(self.run, to_float(first.pixels), self.views, bank)
            return self._candidates(hard, [first], count)
        second = self._judge(generator.sample(filled, "b", averaged=True))
        return self._candidates(pair_similarity(first.embeddings, second.embeddings), [first, second], count)

    @torch.inference_mode()
    def score_anchored(self, anchors: Anchors) -> Candidates:
        """Candidates for pairs, from up to ``forward_batch`` anchors, which their pixel distance reckons with."""
        count, filled = len(anchors), anchors.filled(forward_batch(self.device))
        pixels = self.run.images.gather(filled.positions).to(self.device)
        images, levels, latents = to_float(pixels), filled.levels.to(self.device), filled.latents.to(self.device)
        members = []
        for own in latents.unbind(1):
            judged = self._judge(self.run.generator.vary(images, levels, own, averaged=True))
            nearest = torch.minimum(judged.pixel_distance, pixel_distance(judged.pixels, pixels))
            members.append(replace(judged, pixel_distance=nearest))
        similarity = pair_similarity(members[0].embeddings, members[1].embeddings)
        return replace(self._candidates(similarity, members, count), anchors=anchors)

    def _judge(self, made: Tensor) -> _Judged:
        if not made.isfinite().all():
            raise FailureError("the generator makes images that are infinite or NaN: train it again at lower rates")
        pixels = to_uint8(made)
        images = to_float(pixels)  # what is scored is what is written, rounding included
        embeddings = self.run.encoder(images)
        nearest = self.real.nearest(embeddings, pixels)
        realism = self.run.generator.realism(images)
        forgotten = self.run.forgotten
        taken_down = torch.zeros_like(realism, dtype=torch.bool)
        if forgotten is not None:
            taken_down = forgotten.near(embeddings, pixels)
        return _Judged(
            pixels, embeddings, realism, nearest.position, nearest.similarity, nearest.pixel_distance, taken_down
        )

    def _candidates(self, score: Tensor, members: Sequence[_Judged], count: int) -> Candidates:
        similarity, nearer = torch.stack([member.similarity for member in members]).max(0)
        position = torch.stack([member.position for member in members]).gather(0, nearer[None])[0]
        source_indices = self.run.images.source_indices[position[:count].cpu()]
        return Candidates(
            tuple(member.pixels[:count].permute(0, 2, 3, 1).contiguous().cpu().numpy() for member in members),
            rounded(score[:count]),
            rounded(torch.stack([member.realism for member in members]).amin(0)[:count]),
            source_indices.numpy(),
            rounded(similarity[:count].clamp(-1, 1)),
            rounded(torch.stack([member.pixel_distance for member in members]).amin(0)[:count]),
            torch.stack([member.taken_down for member in members]).any(0)[:count].cpu().numpy(),
        )


def mean_hardness(run: Run, images: Tensor, views: Sequence[ViewParameters], bank: Tensor) -> Tensor:
    """Hardness (N,) of float images, in nats, as the mean over all pairs of their views.

    Args:
        views: parameters of one view each, which all images share.
        bank: (M, D) embeddings of real images.
    """
    every = torch.zeros(len(images), dtype=torch.long)
    embedded = [run.encoder(run.view.apply(images, view[every])) for view in views]
    pairs = [hardness(*pair, bank, run.temperature) for pair in combinations(embedded, 2)]
    return torch.stack(pairs).mean(0)


def hardness_views(view: RandomView, seed: int) -> list[ViewParameters]:
    """The views that a dataset's hardness is measured with."""
    drawn = view.draw(VIEWS, generator_at(seed, "hardness views"))
    return [drawn[number : number + 1] for number in range(VIEWS)]


def rounded(values: Tensor) -> NDArray[np.float64]:
    """As written in the metadata: float64 with ``DECIMALS`` decimals."""
    return np.round(values.double().cpu().numpy(), DECIMALS)
