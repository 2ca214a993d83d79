"""Batches of images on the training device, in a given order."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from synthdata.data.images import Images
from synthdata.data.pairs import Pairs
from synthdata.errors import SynthdataError


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
            yield pixels[_copied(batch, device)]
        return
    for batch in _loader(images, indices, device, workers):
        yield batch.to(device, non_blocking=True)


def stream_pairs(
    pairs: Pairs, indices: Iterable[Tensor], device: torch.device | str, workers: int = 2
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read the batches of pairs that ``indices`` names, as ``stream`` does for images.

    Yields:
        Two (B, C, H, W) uint8 tensors on ``device``: the images of which the first and the second views are taken.
    """
    device = torch.device(device)
    if (resident := pairs.resident) is not None:
        pixels, places = (tensor.to(device) for tensor in resident)
        for batch in indices:
            first, second = places[_copied(batch, device)].unbind(1)
            yield pixels[first], pixels[second]
        return
    for answer in _loader(_Answers(pairs), indices, device, workers, collate=_collate_answers):
        if isinstance(answer, SynthdataError):
            raise answer
        images, damaged = answer
        pairs.tell_damaged(damaged)
        first, second = (half.to(device, non_blocking=True) for half in images)
        yield first, second


class _Answers(Dataset[Any]):
    """Rows with the shards that were skipped, or the error: an exception would leave a worker with its traceback."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    def __getitem__(self, index: int) -> tuple[tuple[Tensor, Tensor], set[str]] | SynthdataError:
        try:
            return self._pairs[index], set(self._pairs.damaged)
        except SynthdataError as error:
            return error


def _collate_answers(answers: list[Any]) -> Any:
    errors = [answer for answer in answers if isinstance(answer, SynthdataError)]
    if errors:
        return errors[0]
    return default_collate([images for images, _ in answers]), answers[-1][1]


def _loader(
    dataset: Dataset[Any],
    indices: Iterable[Tensor],
    device: torch.device,
    workers: int,
    collate: Callable[[list[Any]], Any] | None = None,
) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_sampler=(batch.tolist() for batch in indices),
        num_workers=workers,
        collate_fn=collate,
        multiprocessing_context=multiprocessing.get_context("spawn") if workers else None,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # of its own, or the loader would advance the global one
    )


def _copied(indices: Tensor, device: torch.device) -> Tensor:
    """``indices`` on ``device``, copied from page-locked memory, so that the host does not wait for a GPU's queue."""
    return indices.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else indices
