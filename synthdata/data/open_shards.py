"""One shard of an emitted dataset, open for random access to its encoded images."""

import hashlib
import mmap
import os
from abc import ABC, abstractmethod
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from synthdata.data.shards import read_samples
from synthdata.data.source import IMAGE_EXTENSIONS
from synthdata.errors import FailureError
from synthdata.paths import open_regular


class DamagedShardError(FailureError):
    """A shard is not what its dataset's manifest says."""


class OpenShard(ABC):
    """The rows of one shard."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def encoded(self, row: int) -> list[bytes]:
        """The encoded images of a row: one of a hard sample, the two of a pair in order."""


class TarShard(OpenShard):
    """A WebDataset shard: what it holds in memory is where its images lie."""

    def __init__(self, path: Path) -> None:
        self._content = _mapped(path)
        self._places = []
        for sample in read_samples(0, str(path)):
            suffixes = sorted(suffix for suffix in sample.members if suffix.rpartition(".")[2] in IMAGE_EXTENSIONS)
            self._places.append([sample.members[suffix] for suffix in suffixes])

    def __len__(self) -> int:
        return len(self._places)

    def encoded(self, row: int) -> list[bytes]:
        return [self._content[place.offset : place.offset + place.size] for place in self._places[row]]


class ParquetShard(OpenShard):
    """A Parquet shard: its encoded images are in memory."""

    def __init__(self, path: Path) -> None:
        try:
            file = pq.ParquetFile(path)
            schema = file.schema_arrow
            columns = sorted(name for name in schema.names if pa.types.is_struct(schema.field(name).type))
            table = file.read(columns=[f"{column}.bytes" for column in columns])
        except (pa.ArrowException, OSError) as error:
            raise FailureError(f"shard {path} cannot be read as Parquet ({error})") from error
        self._columns = [table.column(column).combine_chunks().field("bytes") for column in columns]
        self._rows = table.num_rows

    def __len__(self) -> int:
        return self._rows

    def encoded(self, row: int) -> list[bytes]:
        return [column[row].as_py() for column in self._columns]


def open_shard(path: Path, sha256: str, rows: int) -> OpenShard:
    """Open a shard whose bytes and number of rows are those that were recorded.

    Raises:
        DamagedShardError: it is not; the message is the reason.
    """
    found = hashlib.sha256(_mapped(path)).hexdigest()
    if found != sha256:
        raise DamagedShardError(f"its sha256 begins with {found[:8]}, not {sha256[:8]} as in the manifest")
    shard = ParquetShard(path) if path.suffix == ".parquet" else TarShard(path)
    if len(shard) != rows:
        raise DamagedShardError(f"it has {len(shard)} rows, not {rows} as in the manifest")
    return shard


def _mapped(path: Path) -> mmap.mmap | bytes:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size == 0:  # which cannot be mapped
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DamagedShardError(f"it cannot be read: {error.strerror or error}") from error
