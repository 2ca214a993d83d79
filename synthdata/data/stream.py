"""Batches of real images on the training device, in a given order."""

import multiprocessing
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from synthdata.data.images import Images


def stream(images: Images, indices: Iterable[Tensor], device: torch.device | str, workers: int = 2) -> Iterator[Tensor]:
    """Read the batches that ``indices`` names, in its order, whatever the number of workers.

    Images in memory are moved to ``device`` once and indexed there. Images on disk are decoded ahead by worker
    processes; these are spawned, so the program's entry point needs its ``if __name__ == "__main__"``.

    Args:
        images: one split.
        indices: (B,) int64 for each batch; may be endless.
        device: where the batches are wanted.
        workers: decoding processes for images on disk; with 0 this process decodes.

    Yields:
        (B, C, H, W) uint8 on ``device``.
    """
    device = torch.device(device)
    if images.pixels is not None:
        pixels = images.pixels.to(device)
        for batch in indices:
            yield pixels[batch.to(device)]
        return
    loader = DataLoader(
        images,
        batch_sampler=(batch.tolist() for batch in indices),
        num_workers=workers,
        multiprocessing_context=multiprocessing.get_context("spawn") if workers else None,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # of its own, or the loader would advance the global one
    )
    for batch in loader:
        yield batch.to(device, non_blocking=True)
