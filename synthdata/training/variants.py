"""Variants of the real images: a bank of them on the device, and how far from its image each anchor's is taken."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from synthdata.data import Images, to_float, to_uint8
from synthdata.emission.guard import RealNeighbours, pixel_distance
from synthdata.errors import MisuseError
from synthdata.evaluation.features import evaluated
from synthdata.memory import check_fits
from synthdata.models import Encoder, Generator
from synthdata.objectives import pair_similarity
from synthdata.rng import BatchRandom, generator_at
from synthdata.training.config import VariantConfig

SLICE = 64
"""Images whose variants are made at once: the last bits of a variant may depend on the shape of its batch."""

COPY_QUANTILE = 0.05
"""A variant is its image again if it is no further from it than this quantile of the images' own distances, up to which
emission by default refuses samples."""

MOSTLY = 0.5
"""A level is left out for an image of which it gives as large a share of copies."""


@dataclass(frozen=True)
class _Slice:
    """One of the parts in which the bank is made: a variant of ``SLICE`` images at one level."""

    level: int
    copy: int
    rows: Tensor


class VariantBank:
    """Variants of all images at all levels, their similarity to their images, and whether they are these again.

    What is in it is a function of the seed, the generator and the steps at which slices were made anew, whatever the
    number of processes.

    Args:
        settings: sizes and levels.
        images: the real images.
        encoder: as it is when similarities are measured.
        generator: that makes variants.
        seed: of the run.
        accelerator: device, processes and precision.

    Attributes:
        pixels: (levels, each, N, C, H, W) uint8; None until ``fill``.
        copied: (levels, each, N) bool: variants that are their image again.
        similarity: (N, levels) cosine of an image's embedding and a variant's, as last measured, without augmentation.

    Raises:
        MisuseError: the bank would not fit into the memory.
    """

    def __init__(
        self,
        settings: VariantConfig,
        images: Images,
        encoder: Encoder,
        generator: Generator,
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        self.settings, self.images, self.seed, self.accelerator = settings, images, seed, accelerator
        self.encoder, self.generator = encoder, generator
        self.shape = (len(settings.levels), settings.each, len(images), images.channels, *(images.image_size,) * 2)
        self._check_fits()
        self.pixels: Tensor | None = None
        self.copied = self.similarity = torch.empty(0)
        self.copy_distance = 0.0
        self._blocks = torch.arange(len(images)).split(SLICE)

    def fill(self) -> None:
        """Make the whole bank, every process its share of it."""
        device, world, rank = self.accelerator.device, self.accelerator.num_processes, self.accelerator.process_index
        self.copy_distance = self._measured_copy_distance()
        self.pixels = torch.zeros(self.shape, dtype=torch.uint8, device=device)
        self.copied = torch.zeros(self.shape[:3], dtype=torch.bool, device=device)
        self.similarity = torch.zeros(len(self.images), self.shape[0], device=device)
        numbers = range(rank, self._slices, world)
        for number in tqdm(numbers, "variants", disable=rank > 0, leave=False, delay=2, dynamic_ncols=True):
            self._make(number, turn=0)
        if world > 1:
            whole = [self.pixels, self.copied.byte()]
            for part in whole:
                dist.all_reduce(part)
            self.copied = whole[1].bool()
        for number in range(len(self._blocks)):
            self._measure(number)

    def advance(self, step: int) -> None:
        """What follows the ``step``-th step of the joint phase: now and then a slice is made or measured anew."""
        renew, measure = self.settings.renew_every, self.settings.measure_every
        if renew and step % renew == 0:
            turn, number = divmod(step // renew - 1, self._slices)
            self._make(number, turn + 1)
        if measure and step % measure == 0:
            self._measure(step // measure - 1)

    def choose(self, rows: Tensor, progress: float, target: float) -> Tensor:
        """(B,) the level of a variant of each of the images ``rows``, as its number.

        Args:
            progress: share of the joint phase that is done.
            target: similarity that variants should have.
        """
        last = self.shape[0] - 1
        if self.settings.level_by == "time":
            return torch.full_like(rows, min(int(progress * self.shape[0]), last))
        usable = self.copied[:, :, rows].float().mean(1).T < MOSTLY
        distance = (self.similarity[rows] - target).abs().masked_fill(~usable, torch.inf)
        return torch.where(usable.any(1), distance.argmin(1), last)

    def variants(self, rows: Tensor, levels: Tensor, random: BatchRandom) -> Tensor:
        """(B, C, H, W) uint8: of each image one of its variants at a level, drawn."""
        assert self.pixels is not None
        return self.pixels[levels, self._drawn(len(rows), random), rows]

    def measured(self, rows: Tensor, levels: Tensor) -> dict[str, Tensor]:
        """What there is to log of the variants of a step."""
        shares = torch.tensor(self.settings.levels, device=levels.device)
        told = {
            "similarity": self.similarity[rows, levels].mean(),
            "noise_level": shares[levels].mean(),
            "copies": self.copied[levels, :, rows].float().mean(),
        }
        for number, level in enumerate(self.settings.levels):
            told[f"similarity_at_{level:g}"] = self.similarity[:, number].mean()
            told[f"copies_at_{level:g}"] = self.copied[number].float().mean()
        return told

    def state_dict(self) -> dict[str, Any]:
        """The bank; empty before it is made."""
        if self.pixels is None:
            return {}
        names = ("pixels", "copied", "similarity", "copy_distance")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.accelerator.device
        for name, value in state.items():
            setattr(self, name, value.to(device) if isinstance(value, Tensor) else value)

    @property
    def _slices(self) -> int:
        levels, each, *_ = self.shape
        return levels * each * len(self._blocks)

    def _slice(self, number: int) -> _Slice:
        """Slices that follow each other are of the same images at all levels, then of the next images."""
        rest, level = divmod(number, self.shape[0])
        copy, block = divmod(rest, len(self._blocks))
        return _Slice(level, copy, self._blocks[block])

    @torch.no_grad()
    def _make(self, number: int, turn: int) -> None:
        """Make a slice for the ``turn``-th time."""
        assert self.pixels is not None
        part, device = self._slice(number), self.accelerator.device
        anchors = self._anchors(part.rows)
        random = generator_at(self.seed, "variants", number, turn, device=device)
        latents = torch.randn(len(anchors), *self.generator.latent_shape, generator=random, device=device)
        level = self.settings.levels[part.level]
        with self.accelerator.autocast():
            made = to_uint8(self.generator.vary(to_float(anchors), level, latents, averaged=True))
        self.pixels[part.level, part.copy, part.rows] = made
        self.copied[part.level, part.copy, part.rows] = pixel_distance(made, anchors) <= self.copy_distance

    @torch.no_grad()
    def _measure(self, number: int) -> None:
        """Measure the similarities of the ``number``-th images, in turn by another of their variants."""
        assert self.pixels is not None
        turn, block = divmod(number, len(self._blocks))
        rows = self._blocks[block]
        made = self.pixels[:, turn % self.shape[1], rows]
        with evaluated(self.encoder), self.accelerator.autocast():
            anchors = self.encoder(to_float(self._anchors(rows))).float()
            variants = self.encoder(to_float(made.flatten(0, 1))).float()
        alike = pair_similarity(variants, anchors.repeat(len(made), 1))
        self.similarity[rows] = alike.unflatten(0, made.shape[:2]).T

    @torch.no_grad()
    def _measured_copy_distance(self) -> float:
        with evaluated(self.encoder):
            anchors = (self._anchors(rows) for rows in self._blocks)
            return RealNeighbours.of((self.encoder(to_float(part)).float(), part) for part in anchors).copy_distance(
                COPY_QUANTILE
            )

    def _anchors(self, rows: Tensor) -> Tensor:
        return self.images.gather(rows).to(self.accelerator.device)

    def _drawn(self, count: int, random: BatchRandom) -> Tensor:
        def draw(rows: int, generator: torch.Generator) -> Tensor:
            return torch.randint(self.shape[1], (rows,), generator=generator, device=generator.device)

        return random.rows("variant", count, draw)

    def _check_fits(self) -> None:
        needed = torch.Size(self.shape).numel()
        levels, each, images, *_ = self.shape
        what = f"the bank of variants, {each} of each of {images:,} images at {levels} noise levels,"
        mend = "lower synthetic.variants.each, give fewer levels, or set data.limit"
        check_fits(needed, what, mend)
        device = self.accelerator.device
        if device.type == "cuda" and needed > (has := torch.cuda.get_device_properties(device).total_memory):
            raise MisuseError(
                f"{what} would take {needed / 2**30:,.1f} GiB of the GPU's {has / 2**30:,.1f} GiB: {mend}"
            )
