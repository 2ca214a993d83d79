"""Work spread over threads with its results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], window: int
) -> Iterator[Result]:
    """``map(function, items)`` by the threads of ``pool``, at most ``window`` items ahead of what was taken.

    Unlike ``Executor.map`` it reads ``items`` only as results are taken, so that stages of a pipeline can be chained
    in bounded memory. Items not yet begun are dropped when the iterator is closed or an item fails.
    """
    begun: deque[Future[Result]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            while begun and (len(begun) >= window or begun[0].done()):
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive lists of ``size`` items, the last one with what is left."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
