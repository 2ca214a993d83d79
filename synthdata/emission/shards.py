"""Making the shards of one process: rows are generated, encoded and written at the same time."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, dropwhile, islice

from datasets import Features
from tqdm import tqdm

from synthdata.emission.config import DatasetConfig
from synthdata.emission.encoding import EncodedRow, encode_row, write_parquet, write_tar
from synthdata.emission.kinds import Row
from synthdata.emission.manifest import WORK, Record
from synthdata.emission.pipeline import ordered_map
from synthdata.emission.plan import Shard
from synthdata.emission.tally import Tally
from synthdata.errors import FailureError
from synthdata.stores import Draft, Store

_WRITERS = {"webdataset": write_tar, "parquet": write_parquet}
_ENCODERS = min(os.cpu_count() or 1, 8)


@dataclass(frozen=True)
class ShardWriter:
    """Encodes rows in threads of its own, while models and disk are at work, and writes them in order.

    Attributes:
        store: where they are put.
        config: the request: in which format to write.
        expected: sha256 by path of shards that a finished dataset lacks and that must come out as they were.
        progress: told of every row that was written.
    """

    store: Store
    config: DatasetConfig
    expected: dict[str, str]
    progress: tqdm

    def write(
        self,
        shards: Sequence[Shard],
        features: Features,
        edges: dict[str, list[float]],
        blocks: Iterator[list[Row]],
        finished: Callable[[Record], None],
    ) -> None:
        """Write ``shards``, of one kind and in order, from the rows in ``blocks``; and tell of each.

        A shard is written in the work folder, or aside on this machine, and put in its place when it is complete, while
        the next one is made. The columns that ``edges`` names are counted in histograms; a Parquet file has the columns
        ``features``.

        Args:
            finished: told of each record, right after its shard is in its place.

        Raises:
            FailureError: the disk is full, or a restored shard differs from what it was.
        """
        with ThreadPoolExecutor(_ENCODERS, "encode") as pool, ThreadPoolExecutor(1, "put") as putting:
            rows = chain.from_iterable(ordered_map(pool, self._encode, blocks, window=_ENCODERS + 1))
            drafts = (self._draft(shard, features, _rows_of(shard, rows), edges) for shard in shards)
            for _ in ordered_map(putting, lambda made: self._put(*made, finished), drafts, window=2):
                pass

    def _encode(self, block: list[Row]) -> list[EncodedRow]:
        return [encode_row(row, self.config.image_format, self.config.quality) for row in block]

    def _draft(
        self, shard: Shard, features: Features, rows: Iterator[EncodedRow], edges: dict[str, list[float]]
    ) -> tuple[Draft, Record]:
        tally = Tally(shard.kind, edges)
        with self.store.draft(shard.path, aside=WORK) as draft:
            _WRITERS[self.config.format](draft, features, self._counted(tally.counting(rows)))
            if draft.sha256 != self.expected.get(shard.path, draft.sha256):
                raise FailureError(
                    f"{shard.path} of {self.store} comes out other than manifest.json says, on other hardware or by "
                    "other versions: emit the dataset anew, to another --output"
                )
        return draft, {**asdict(shard), "bytes": draft.size, "sha256": draft.sha256, "summary": tally.summary()}

    def _put(self, draft: Draft, record: Record, finished: Callable[[Record], None]) -> None:
        finished(record | self.store.put(draft))

    def _counted(self, rows: Iterator[EncodedRow]) -> Iterator[EncodedRow]:
        for row in rows:
            yield row
            self.progress.update()


def _rows_of(shard: Shard, rows: Iterator[EncodedRow]) -> Iterator[EncodedRow]:
    return islice(dropwhile(lambda row: row.index < shard.first_row, rows), shard.rows)
