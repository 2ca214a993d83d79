"""Which images each step reads: a function of the seed and the step, with no state to save."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.rng import generator_at

SHARDS_MIXED = 8
"""Rows are shuffled among this many shards at a time, so that a reader needs no more of them at once."""


def shuffled_indices(
    length: int | Sequence[int], batch_size: int, seed: int | str, start: int = 0, rank: int = 0, world_size: int = 1
) -> Iterator[Tensor]:
    """Indices of each step's images, endlessly, from step ``start`` on.

    Epoch e is a permutation drawn from (seed, e) alone; step s reads entries s * batch_size to (s + 1) * batch_size of
    all epochs strung together, so no image is left out and any step can be reached directly. Each rank gets its
    contiguous slice of the step's entries.

    Args:
        length: number of images; of a dataset in shards, the number of rows of each.
        batch_size: images of one step over all ranks.
        seed: the run's seed.
        start: the first step.
        rank: this process, in [0, world_size).
        world_size: number of processes.

    Yields:
        (batch_size / world_size,) int64, one a step.

    Raises:
        MisuseError: the batch is larger than the data, or does not divide by the number of processes.
    """
    shards = [length] if isinstance(length, int) else list(length)
    if batch_size > sum(shards):
        raise MisuseError(
            f"a batch of {batch_size} is larger than the data, {sum(shards)} images: choose a smaller batch"
        )
    if batch_size < 1 or batch_size % world_size:
        raise MisuseError(
            f"a batch of {batch_size} does not divide into {world_size} processes: choose a multiple of it"
        )
    return _endless(shards, batch_size, seed, start, (rank, world_size))


def epoch_order(shards: Sequence[int], seed: int | str, epoch: int) -> Tensor:
    """All rows in the order of one epoch: a permutation drawn from (seed, epoch) alone.

    Of more than ``SHARDS_MIXED`` shards, the shards are shuffled, and the rows of every ``SHARDS_MIXED`` in turn.

    Args:
        shards: the number of rows of each shard.
        seed: the run's seed.
        epoch: from 0.

    Returns:
        (rows,) int64, rows being counted through all shards.
    """
    generator = generator_at(seed, "epoch", epoch)
    if len(shards) <= SHARDS_MIXED:
        return torch.randperm(sum(shards), generator=generator)
    rows = torch.arange(sum(shards)).split(list(shards))
    mixed = []
    for together in torch.randperm(len(shards), generator=generator).split(SHARDS_MIXED):
        window = torch.cat([rows[shard] for shard in together.tolist()])
        mixed.append(window[torch.randperm(len(window), generator=generator)])
    return torch.cat(mixed)


def _endless(
    shards: Sequence[int], batch_size: int, seed: int | str, start: int, share: tuple[int, int]
) -> Iterator[Tensor]:
    length = sum(shards)
    rank, world_size = share
    local_size = batch_size // world_size
    first = start * batch_size + rank * local_size
    epochs: dict[int, Tensor] = {}
    while True:
        needed = range(first // length, (first + local_size - 1) // length + 1)
        epochs = {epoch: epochs[epoch] if epoch in epochs else epoch_order(shards, seed, epoch) for epoch in needed}
        offset = first - needed[0] * length
        yield torch.cat([epochs[epoch] for epoch in needed])[offset : offset + local_size]
        first += batch_size
