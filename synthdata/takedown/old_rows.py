"""The rows of an emitted dataset, as they are stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthdata.data.shards import read_samples
from synthdata.emission.encoding import image_column
from synthdata.emission.kinds import KINDS, Kind
from synthdata.errors import FailureError
from synthdata.reading import UnsoundError, checked, parse_json
from synthdata.stores import Store


@dataclass(frozen=True)
class OldRow:
    """A row of an emitted dataset.

    Attributes:
        images: encoded, by member in order.
        metadata: its columns.
    """

    images: tuple[bytes, ...]
    metadata: dict[str, Any]


class OldRows:
    """The rows of one kind, in random access; the shards that were read last are kept in memory.

    Args:
        store: where the dataset is.
        manifest: of it.
        kind: which rows.
    """

    def __init__(self, store: Store, manifest: dict[str, Any], kind: Kind) -> None:
        self.kind: Kind = kind
        self._store = store
        self._shards = [shard for shard in manifest["shards"] if shard["kind"] == kind]
        self._size = self._shards[0]["rows"]
        self._read: dict[int, list[OldRow]] = {}

    def __len__(self) -> int:
        return sum(shard["rows"] for shard in self._shards)

    def __getitem__(self, index: int) -> OldRow:
        number, row = divmod(index, self._size)
        if number not in self._read:
            while len(self._read) > 1:
                self._read.pop(next(iter(self._read)))
            self._read[number] = self._rows(self._shards[number])
        return self._read[number][row]

    def _rows(self, shard: dict[str, Any]) -> list[OldRow]:
        try:
            with self._store.on_disk(shard["path"]) as path:
                rows = list((_of_parquet if path.suffix == ".parquet" else _of_tar)(path, KINDS[self.kind].members))
            if len(rows) != shard["rows"] or any(
                row.metadata["index"] != shard["first_row"] + place for place, row in enumerate(rows)
            ):
                raise UnsoundError("its rows are not those of the manifest")
        except (UnsoundError, KeyError, TypeError, pa.ArrowException, OSError) as error:
            raise FailureError(f"shard {self._store}/{shard['path']} cannot be read ({error}): restore it") from error
        return rows


def _of_tar(path: Path, members: tuple[str, ...]) -> Iterator[OldRow]:
    content = path.read_bytes()
    for sample in read_samples(0, str(path)):
        parts = {suffix: content[place.offset : place.offset + place.size] for suffix, place in sample.members.items()}
        metadata = checked(parse_json(parts.pop("json")), dict[str, Any])
        images = {suffix.rpartition(".")[0]: part for suffix, part in parts.items()}
        yield OldRow(tuple(images[member] for member in members), metadata)


def _of_parquet(path: Path, members: tuple[str, ...]) -> Iterator[OldRow]:
    columns = [image_column(member) for member in members]
    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            images = tuple(row.pop(column)["bytes"] for column in columns)
            yield OldRow(images, row)
