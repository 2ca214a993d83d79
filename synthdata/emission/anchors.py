"""The real images that anchored pairs grow from: which, how far they are noised, and by which noise."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from synthdata.emission.config import EmissionConfig
from synthdata.emission.kinds import Kind
from synthdata.emission.run import Run
from synthdata.errors import MisuseError
from synthdata.rng import stream_at


@dataclass(frozen=True)
class Anchors:
    """Of N pairs, on the CPU.

    Attributes:
        positions: (N,) int64, among the run's training images.
        levels: (N,) float32 noise levels.
        latents: (N, 2, *latent_shape) float32, for the two variants.
        rows: (N,) int64, of the images in their source.
    """

    positions: Tensor
    levels: Tensor
    latents: Tensor
    rows: Tensor

    @classmethod
    def draw(cls, seed: int, indices: Tensor, run: Run, levels: list[float]) -> Self:
        """Those of the rows ``indices`` (N,), each a function of ``(seed, index)``, the images and the levels."""
        positions, chosen, latents = [], [], []
        for index in indices.tolist():
            stream = stream_at(seed, index)
            positions.append(int(stream.integers(len(run.images))))
            chosen.append(levels[int(stream.integers(len(levels)))])
            latents.append(torch.from_numpy(stream.standard_normal((2, *run.generator.latent_shape), "float32")))
        drawn = torch.tensor(positions)
        return cls(drawn, torch.tensor(chosen), torch.stack(latents), run.images.source_indices[drawn])

    @classmethod
    def interleaved(cls, drawn: list[Self]) -> Self:
        """Those of several candidates of the same rows, row by row."""
        columns = zip(*((each.positions, each.levels, each.latents, each.rows) for each in drawn), strict=True)
        return cls(*(torch.stack(column, dim=1).flatten(0, 1) for column in columns))

    def filled(self, count: int) -> Self:
        """With the first ones again at the end, up to ``count``."""
        order = torch.arange(count) % len(self)
        return type(self)(self.positions[order], self.levels[order], self.latents[order], self.rows[order])

    def __len__(self) -> int:
        return len(self.positions)


def noise_levels(kind: Kind, config: EmissionConfig, run: Run) -> list[float]:
    """The levels of anchored pairs; none for other rows.

    Raises:
        MisuseError: the run's generator makes no variants, or neither the run nor the settings name levels.
    """
    if kind != "pairs" or config.pair_source != "anchored":
        return []
    if run.generator.kind != "diffusion":
        raise MisuseError(
            f"the generator of {config.run} is of kind {run.generator.kind}, which makes no variants of real images:"
            " leave out --pair_source anchored, or name a run of a diffusion model"
        )
    levels = run.noise_levels if config.noise_levels is None else config.noise_levels
    if not levels:
        raise MisuseError(f"{config.run} was trained without noise levels: give --noise_levels, such as '[0.35,0.5]'")
    return list(levels)
