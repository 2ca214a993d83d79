"""Threads that run the models, so that neither their number nor the machine's core count changes a bit."""

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from synthdata.data import stream, to_float
from synthdata.emission.guard import RealNeighbours
from synthdata.emission.pipeline import ordered_map
from synthdata.emission.run import Run

OpenRun = TypeVar("OpenRun", bound=Any)
Item = TypeVar("Item")
Result = TypeVar("Result")

_REAL_BATCH = 256


class ModelThreads(Generic[OpenRun]):
    """A pool of threads that each own a copy of a run's models.

    An operation on a CPU is not split over cores here, since how it is split changes the last bits of its result;
    instead, several forward passes go on side by side. Every thread has models of its own because some keep state while
    they sample.

    Args:
        run: a dataclass; the modules in it are copied, all else is shared.
        device: where the models are.
        threads: number of threads.
    """

    def __init__(self, run: OpenRun, device: torch.device, threads: int) -> None:
        self.run = run
        self.device = device
        self.threads = threads
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(threads, "models", initializer=self._start_thread)

    def map(self, function: Callable[[OpenRun, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """``function(run, item)`` of every item, in order, where ``run`` holds the thread's own models."""

        def call(item: Item) -> Result:
            with torch.inference_mode():
                return function(self._own.run, item)

        return ordered_map(self._pool, call, items, window=self.threads + 1)

    def __enter__(self) -> Self:
        self._intra_op_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._intra_op_threads)

    def _start_thread(self) -> None:
        torch.set_num_threads(1)
        values = ((field.name, getattr(self.run, field.name)) for field in fields(self.run))
        models = {name: copy.deepcopy(value) for name, value in values if isinstance(value, nn.Module)}
        self._own.run = replace(self.run, **models)


def real_batches(models: ModelThreads[Run], limit: int | None = None) -> Iterator[Tensor]:
    """The first ``limit`` training images of a run, or all, as batches (B, C, H, W) uint8 of a fixed size."""
    images = models.run.images
    count = len(images) if limit is None else min(limit, len(images))
    return stream(images, torch.arange(count).split(_REAL_BATCH), models.device)


def embed_real_images(models: ModelThreads[Run]) -> RealNeighbours:
    """The run's training images as the memorisation guard compares with them, embedded un-augmented."""

    def embed(run: Run, batch: Tensor) -> tuple[Tensor, Tensor]:
        return run.encoder(to_float(batch)), batch

    return RealNeighbours.of(models.map(embed, real_batches(models)))
