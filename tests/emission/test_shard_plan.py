"""Rows to shards, shards to processes."""

import pytest

from synthdata.emission.plan import plan_shards, shards_of
from synthdata.emission.selection import blocks_of


def test_shards_are_named_by_kind_number_and_count():
    shards = plan_shards("hard", rows=5000, shard_size=500, file_format="webdataset")
    assert [shards[0].path, shards[-1].path] == [
        "data/hard/hard-00000-of-00010.tar",
        "data/hard/hard-00009-of-00010.tar",
    ]
    assert plan_shards("pairs", 1, 1, "parquet")[0].path == "data/pairs/pairs-00000-of-00001.parquet"


@pytest.mark.parametrize(("rows", "shard_size"), [(1, 1), (10, 3), (9, 3), (2, 500)])
def test_every_row_is_in_one_shard(rows: int, shard_size: int):
    shards = plan_shards("hard", rows, shard_size, "webdataset")
    assert [row for shard in shards for row in range(shard.first_row, shard.end)] == list(range(rows))
    assert all(shard.rows == shard_size for shard in shards[:-1])


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 20])
def test_every_shard_is_made_by_one_worker(workers: int):
    shards = plan_shards("hard", 70, 10, "webdataset") + plan_shards("pairs", 10, 10, "webdataset")
    made = [shard for worker in range(workers) for shard in shards_of(worker, workers, shards)]
    assert sorted(made, key=lambda shard: shard.path) == shards


def test_two_workers_with_one_shard_of_each_kind_make_one_each():
    shards = plan_shards("hard", 5, 10, "webdataset") + plan_shards("pairs", 5, 10, "webdataset")
    assert [len(shards_of(worker, 2, shards)) for worker in range(2)] == [1, 1]


def test_blocks_cover_the_rows_of_missing_shards_once():
    shards = plan_shards("hard", 1000, 100, "webdataset")
    blocks = blocks_of([shards[0], shards[1], shards[9]])
    assert blocks == [range(0, 128), range(128, 200), range(896, 1000)]
