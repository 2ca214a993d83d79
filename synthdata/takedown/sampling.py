"""Batches of images of which there may be fewer than a batch holds."""

from collections.abc import Iterator

from accelerate import Accelerator
from torch import Tensor

from synthdata.data import shuffled_indices


def places_of_few(count: int, batch: int, seed: str, start: int, accelerator: Accelerator) -> Iterator[Tensor]:
    """As ``shuffled_indices`` of ``count`` images; where they are few, each is in a batch several times."""
    drawn = shuffled_indices(
        count * -(-batch // count),
        batch,
        seed=seed,
        start=start,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )
    return (places % count for places in drawn)
