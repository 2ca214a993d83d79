"""Making the shards of one process: rows are generated, encoded and written at the same time."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, dropwhile, islice
from pathlib import Path

from datasets import Features
from tqdm import tqdm

from synthdata.emission.config import DatasetConfig
from synthdata.emission.encoding import EncodedRow, encode_row, write_parquet, write_tar
from synthdata.emission.files import appearing_whole
from synthdata.emission.kinds import Row
from synthdata.emission.manifest import WORK, Record
from synthdata.emission.pipeline import ordered_map
from synthdata.emission.plan import Shard
from synthdata.emission.tally import Tally
from synthdata.errors import FailureError
from synthdata.formats import inside

_WRITERS = {"webdataset": write_tar, "parquet": write_parquet}
_ENCODERS = min(os.cpu_count() or 1, 8)


@dataclass(frozen=True)
class ShardWriter:
    """Encodes rows in threads of its own, while models and disk are at work, and writes them in order.

    Attributes:
        config: the request: where and in which format to write.
        expected: sha256 by path of shards that a finished dataset lacks and that must come out as they were.
        progress: told of every row that was written.
    """

    config: DatasetConfig
    expected: dict[str, str]
    progress: tqdm

    def write(
        self,
        shards: Sequence[Shard],
        features: Features,
        edges: dict[str, list[float]],
        blocks: Iterator[list[Row]],
    ) -> Iterator[Record]:
        """Write ``shards``, of one kind and in order, from the rows in ``blocks``; yields the record of each.

        A shard is written in the work folder and appears under its name when it is complete. The columns that ``edges``
        names are counted in histograms; a Parquet file has the columns ``features``.

        Raises:
            FailureError: the disk is full, or a restored shard differs from what it was.
        """
        with ThreadPoolExecutor(_ENCODERS, "encode") as pool:
            rows = chain.from_iterable(ordered_map(pool, self._encode, blocks, window=_ENCODERS + 1))
            for shard in shards:
                yield self._write_shard(shard, features, _rows_of(shard, rows), edges)

    def _encode(self, block: list[Row]) -> list[EncodedRow]:
        return [encode_row(row, self.config.image_format, self.config.quality) for row in block]

    def _write_shard(
        self, shard: Shard, features: Features, rows: Iterator[EncodedRow], edges: dict[str, list[float]]
    ) -> Record:
        path = inside(Path(self.config.output), shard.path, whole=False)
        work = inside(Path(self.config.output), WORK)
        for left_over in work.glob(f"{shard.name}.*.part"):
            left_over.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        tally = Tally(shard.kind, edges)
        with appearing_whole(path, work / f"{shard.name}.{os.getpid()}.part") as file:
            _WRITERS[self.config.format](file, features, self._counted(tally.counting(rows)))
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
