"""Random numbers that are functions of where they are used, not of what was drawn before.

Every draw names its place, such as ``(seed, "views", step)``, so a resumed run, another batch size or another number of
processes sees the same numbers and a checkpoint needs no generator state.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor


def generator_at(*place: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by ``place``: equal places give equal streams, different places unrelated ones."""
    digest = hashlib.blake2b(repr(place).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


def stream_at(seed: int, index: int) -> np.random.Generator:
    """NumPy's generator of one row: Philox keyed on ``(seed, index)``, both in [0, 2**64)."""
    # As a list, the key of a seed from 2**63 on would be rounded to float64.
    return np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64)))


def latents_at(seed: int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal latents of dataset rows, row by row from Philox keyed on ``(seed, index)``.

    Args:
        seed: the dataset's seed, in [0, 2**64).
        indices: (N,) row indices.
        shape: shape of one latent.

    Returns:
        (N, *shape) float32 on the CPU; row n depends on ``(seed, indices[n])`` alone.
    """
    rows = [stream_at(seed, int(i)).standard_normal(shape, np.float32) for i in indices]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, *shape)


class Sliceable(Protocol):
    """A batch of random numbers whose rows can be cut out."""

    def __getitem__(self, rows: slice) -> Self: ...


Rows = TypeVar("Rows", bound=Sliceable)


@dataclass(frozen=True)
class BatchRandom:
    """Random numbers of one process's rows of a training batch.

    The numbers are drawn for the whole batch of all processes and sliced, so that the number of processes does not
    change what a row sees.

    Attributes:
        seed: the run's seed.
        step: the training step, or any counter that names the batch.
        rank: this process.
        world_size: number of processes, each with equally many rows.
        device: where the numbers are drawn and live.
    """

    seed: int
    step: int
    rank: int = 0
    world_size: int = 1
    device: torch.device | str = "cpu"

    def rows(self, purpose: str, count: int, draw: Callable[[int, torch.Generator], Rows]) -> Rows:
        """This process's ``count`` rows of what ``draw(count of all processes, generator)`` gives for ``purpose``."""
        whole = draw(count * self.world_size, generator_at(self.seed, purpose, self.step, device=self.device))
        return whole[self.rank * count : (self.rank + 1) * count]

    def latents(self, purpose: str, count: int, shape: tuple[int, ...]) -> Tensor:
        """(count, *shape) standard normal numbers."""
        return self.rows(purpose, count, lambda n, g: torch.randn(n, *shape, generator=g, device=self.device))
