"""Which row is in which shard, and which process makes it: pure functions of the request."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthdata.emission.config import Format
from synthdata.emission.kinds import Kind
from synthdata.errors import MisuseError
from synthdata.formats import shard_path
from synthdata.manifests import MOST_SHARDS


@dataclass(frozen=True)
class Shard:
    """One file of a dataset.

    Attributes:
        path: below the dataset directory, with forward slashes.
        kind: what its rows are.
        first_row: index of its first row.
        rows: number of rows.
    """

    path: str
    kind: Kind
    first_row: int
    rows: int

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]

    @property
    def end(self) -> int:
        """Index of the row after its last."""
        return self.first_row + self.rows


def plan_shards(kind: Kind, rows: int, shard_size: int, file_format: Format) -> list[Shard]:
    """The shards that hold rows 0 to ``rows`` − 1 in order, ``shard_size`` rows each, the last one with what is left.

    Example:
        >>> [shard.path for shard in plan_shards("hard", 3, 2, "webdataset")]
        ['data/hard/hard-00000-of-00002.tar', 'data/hard/hard-00001-of-00002.tar']
    """
    count = -(-rows // shard_size)
    return [
        Shard(
            shard_path(kind, number, count, file_format),
            kind,
            first_row=number * shard_size,
            rows=min(shard_size, rows - number * shard_size),
        )
        for number in range(count)
    ]


def check_shard_count(rows: int, shard_size: int) -> None:
    """Raise ``MisuseError`` where a dataset would have more shards than processes can keep in mind, with a mend."""
    if (count := -(-rows // shard_size)) > MOST_SHARDS:
        raise MisuseError(
            f"{rows:,} rows in shards of {shard_size:,} are {count:,} shards, more than the {MOST_SHARDS:,} of a "
            f"dataset: set --shard_size {-(-rows // MOST_SHARDS)} or more"
        )


def shards_of(worker: int, workers: int, shards: Sequence[Shard]) -> list[Shard]:
    """The shards that ``worker`` of ``workers`` makes: a contiguous run of each kind, so that few blocks are split.

    Every other kind counts the workers from the other end, so that one worker does not get the odd shard of each.
    """
    mine = []
    for number, kind in enumerate(dict.fromkeys(shard.kind for shard in shards)):
        of_kind = [shard for shard in shards if shard.kind == kind]
        turn = worker if number % 2 == 0 else workers - 1 - worker
        mine += of_kind[turn * len(of_kind) // workers : (turn + 1) * len(of_kind) // workers]
    return mine
