"""Making the shards of one process: rows are generated, encoded and written at the same time."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, dropwhile, islice
from pathlib import Path

from tqdm import tqdm

from synthdata.emission.compute import ModelThreads
from synthdata.emission.config import EmissionConfig
from synthdata.emission.criteria import Criteria
from synthdata.emission.encoding import EncodedRow, encode_row, write_parquet, write_tar
from synthdata.emission.files import appearing_whole
from synthdata.emission.guard import RealNeighbours
from synthdata.emission.manifest import WORK, Record
from synthdata.emission.pipeline import ordered_map
from synthdata.emission.plan import Shard
from synthdata.emission.run import Run
from synthdata.emission.scoring import Scorer, hardness_views
from synthdata.emission.selection import BLOCK_ROWS, Row, select_rows
from synthdata.emission.tally import Tally
from synthdata.errors import FailureError

_WRITERS = {"webdataset": write_tar, "parquet": write_parquet}
_ENCODERS = min(os.cpu_count() or 1, 8)


def blocks_of(shards: Sequence[Shard]) -> list[range]:
    """The blocks, or beginnings of blocks, that hold the rows of ``shards`` (of one kind, in order), each once."""
    ends: dict[int, int] = {}
    for shard in shards:
        for start in range(shard.first_row // BLOCK_ROWS * BLOCK_ROWS, shard.end, BLOCK_ROWS):
            ends[start] = min(start + BLOCK_ROWS, shard.end)
    return [range(start, end) for start, end in ends.items()]


def selected_rows(
    models: ModelThreads, real: RealNeighbours, criteria: Criteria, shards: Sequence[Shard]
) -> Iterator[list[Row]]:
    """The rows of ``shards``, block by block, and those before them in their block."""
    views = hardness_views(models.run.view, criteria.seed)

    def select(run: Run, indices: range) -> list[Row]:
        return select_rows(Scorer(run, real, views, models.device), criteria, indices)

    return models.map(select, blocks_of(shards))


@dataclass(frozen=True)
class ShardWriter:
    """Encodes rows in threads of its own, while models and disk are at work, and writes them in order.

    Attributes:
        config: the request: where and in which format to write.
        expected: sha256 by path of shards that a finished dataset lacks and that must come out as they were.
        progress: told of every row that was written.
    """

    config: EmissionConfig
    expected: dict[str, str]
    progress: tqdm

    def write(self, shards: Sequence[Shard], criteria: Criteria, blocks: Iterator[list[Row]]) -> Iterator[Record]:
        """Write ``shards``, of one kind and in order, from the rows in ``blocks``; yields the record of each.

        A shard is written in the work folder and appears under its name when it is complete.

        Raises:
            FailureError: the disk is full, or a restored shard differs from what it was.
        """
        with ThreadPoolExecutor(_ENCODERS, "encode") as pool:
            rows = chain.from_iterable(ordered_map(pool, self._encode, blocks, window=_ENCODERS + 1))
            for shard in shards:
                yield self._write_shard(shard, _rows_of(shard, rows), criteria)

    def _encode(self, block: list[Row]) -> list[EncodedRow]:
        return [encode_row(row, self.config.image_format, self.config.quality) for row in block]

    def _write_shard(self, shard: Shard, rows: Iterator[EncodedRow], criteria: Criteria) -> Record:
        path = Path(self.config.output, shard.path)
        work = Path(self.config.output, WORK)
        for left_over in work.glob(f"{shard.name}.*.part"):
            left_over.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        tally = Tally(criteria)
        with appearing_whole(path, work / f"{shard.name}.{os.getpid()}.part") as file:
            _WRITERS[self.config.format](file, shard.kind, self._counted(tally.counting(rows)))
            if file.sha256 != self.expected.get(shard.path, file.sha256):
                raise FailureError(
                    f"{path} comes out other than manifest.json says, on other hardware or by other versions: emit the "
                    "dataset anew, to another --output"
                )
        return {**asdict(shard), "bytes": file.size, "sha256": file.sha256, "summary": tally.summary()}

    def _counted(self, rows: Iterator[EncodedRow]) -> Iterator[EncodedRow]:
        for row in rows:
            yield row
            self.progress.update()


def _rows_of(shard: Shard, rows: Iterator[EncodedRow]) -> Iterator[EncodedRow]:
    return islice(dropwhile(lambda row: row.index < shard.first_row, rows), shard.rows)
