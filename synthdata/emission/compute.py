"""Threads that run the models, so that neither their number nor the machine's core count changes a bit."""

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self, TypeVar

import torch
from torch import Tensor

from synthdata.data import stream, to_float
from synthdata.emission.guard import RealNeighbours
from synthdata.emission.pipeline import ordered_map
from synthdata.emission.run import Run

Item = TypeVar("Item")
Result = TypeVar("Result")

_REAL_BATCH = 256


class ModelThreads:
    """A pool of threads that each own a copy of a run's models.

    An operation on a CPU is not split over cores here, since how it is split changes the last bits of its result;
    instead, several forward passes go on side by side. Every thread has models of its own because some keep state while
    they sample.

    Args:
        run: its models are copied, its real images shared.
        device: where the models are.
        threads: number of threads.
    """

    def __init__(self, run: Run, device: torch.device, threads: int) -> None:
        self.run = run
        self.device = device
        self.threads = threads
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(threads, "models", initializer=self._start_thread)

    def map(self, function: Callable[[Run, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """``function(run, item)`` of every item, in order, where ``run`` holds the thread's own models."""

        def call(item: Item) -> Result:
            with torch.inference_mode():
                return function(self._own.run, item)

        return ordered_map(self._pool, call, items, window=self.threads + 1)

    def real_batches(self, limit: int | None = None) -> Iterator[Tensor]:
        """The first ``limit`` training images, or all, as batches (B, C, H, W) uint8 of a fixed size."""
        images = self.run.images
        count = len(images) if limit is None else min(limit, len(images))
        return stream(images, torch.arange(count).split(_REAL_BATCH), self.device)

    def __enter__(self) -> Self:
        self._intra_op_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._intra_op_threads)

    def _start_thread(self) -> None:
        torch.set_num_threads(1)
        run = self.run
        self._own.run = replace(run, encoder=copy.deepcopy(run.encoder), generator=copy.deepcopy(run.generator))


def embed_real_images(models: ModelThreads) -> RealNeighbours:
    """The run's training images as the memorisation guard compares with them, embedded un-augmented."""

    def embed(run: Run, batch: Tensor) -> tuple[Tensor, Tensor]:
        return run.encoder(to_float(batch)), batch

    return RealNeighbours.of(models.map(embed, models.real_batches()))
