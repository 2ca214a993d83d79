"""A manifest, and a table of its shards beside it where they are too many for one JSON, which then names the table."""

import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Meta

from synthdata.formats import Sha256, check_format, checked_manifest
from synthdata.reading import UnsoundError, checked, read_checked

MOST_IN_JSON = 100_000
"""Shards that a plan or a manifest lists itself: 22 MB, which are read in seconds."""

MOST_SHARDS = 2_000_000
"""Of a dataset: each process that makes or reads it keeps all of them in memory, a kilobyte each."""


class TableReference(TypedDict):
    """What stands in the place of the shards."""

    file: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,79}\.parquet\Z")]
    sha256: Sha256
    rows: Annotated[int, Meta(ge=1, le=MOST_SHARDS)]


def load_manifest(path: Path, name: str = "", beside: Callable[[str], Path] | None = None) -> dict[str, Any]:
    """The manifest in ``path``, checked as far as whoever reads the rows needs it: whatever its kinds of rows.

    Args:
        name: what messages call it; its path if not given.
        beside: finds on this machine the file beside it that has a name; in the same folder if not given.

    Raises:
        FileNotFoundError: there is none; likewise ``NotADirectoryError``.
        MisuseError: it is of a newer format.
        FailureError: it is damaged.
    """
    find = beside or (lambda file: path.parent / file)
    return dict(read_checked(path, lambda tree: checked_manifest(joined(tree, find)), name=name))


def listed(shards: Sequence[object]) -> bool:
    """Whether they are few enough for the JSON itself."""
    return len(shards) <= MOST_IN_JSON


def split_off(tree: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A plan or a manifest as it is written, and the table of its shards; an empty one if it lists them itself.

    The table is named after its digest: that of another plan, written at the same time, has another name.

    Args:
        tree: with ``shards``, a list of records; some may have fields that others lack, such as hashes of a store.
    """
    shards = tree["shards"]
    if listed(shards):
        return tree, b""
    written = BytesIO()
    names = dict.fromkeys(name for shard in shards for name in shard)
    columns = {name: [shard.get(name) for shard in shards] for name in names}
    pq.write_table(pa.table(columns), written, compression="zstd")
    table = written.getvalue()
    digest = hashlib.sha256(table).hexdigest()
    reference = TableReference(file=f"shards-{digest[:16]}.parquet", sha256=digest, rows=len(shards))
    return tree | {"shards": reference}, table


def joined(tree: Any, beside: Callable[[str], Path]) -> Any:
    """A plan or a manifest as it is used, with the shards of the table that it names, if it names one.

    Args:
        tree: plain data, not checked yet.
        beside: finds the file of a name on this machine.

    Raises:
        UnsoundError: the table is missing or is another.
        MisuseError: it is a manifest of a newer format.
    """
    check_format(tree)
    if not isinstance(tree, dict) or not isinstance(tree.get("shards"), dict):
        return tree
    reference = checked(tree["shards"], TableReference, "shards")
    try:
        path = beside(reference["file"])
    except FileNotFoundError as error:
        raise UnsoundError(f"{reference['file']}, which it names, is missing") from error
    if not path.is_file():  # a pipe would be waited for
        raise UnsoundError(f"{reference['file']}, which it names, is missing or no file")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != reference["sha256"]:
            raise UnsoundError(f"{reference['file']} beside it is altered, its sha256 is not the one told")
    try:
        with pq.ParquetFile(path) as table:
            if (rows := table.metadata.num_rows) != reference["rows"]:
                raise UnsoundError(f"{reference['file']} beside it has {rows:,} rows, not {reference['rows']:,}")
            shards = table.read().to_pylist()
    except pa.ArrowException as error:
        raise UnsoundError(f"{reference['file']} beside it is no Parquet file ({error})") from error
    return tree | {"shards": [{name: told for name, told in shard.items() if told is not None} for shard in shards]}
