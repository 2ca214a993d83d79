"""Ordered work on threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

import pytest

from synthdata.emission.pipeline import batched, ordered_map


def test_results_come_in_the_order_of_the_items():
    def slower_at_first(item: int) -> int:
        time.sleep(0.01 if item == 0 else 0)
        return item * item

    with ThreadPoolExecutor(4) as pool:
        assert list(ordered_map(pool, slower_at_first, range(20), window=5)) == [item * item for item in range(20)]


def test_no_more_items_are_read_than_the_window():
    items, read = count(), []

    def reading():
        for item in items:
            read.append(item)
            yield item

    with ThreadPoolExecutor(2) as pool:
        results = ordered_map(pool, lambda item: item, reading(), window=3)
        assert list(islice(results, 10)) == list(range(10))
        assert len(read) <= 10 + 3
        results.close()


def test_an_error_ends_the_work_and_drops_what_was_not_begun():
    done = []
    gate = threading.Event()

    def fail_at_first(item: int) -> int:
        if item == 0:
            raise ValueError("first")
        gate.wait(5)
        done.append(item)
        return item

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="first"):
            list(ordered_map(pool, fail_at_first, range(100), window=50))
        gate.set()
    assert len(done) <= 1


def test_batches_keep_order_and_the_rest():
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
