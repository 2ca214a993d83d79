"""Rows of a dataset that a page shows: every k-th one, read from the shards."""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthdata.errors import FailureError
from synthdata.publishing.pages.images import Picture, picture
from synthdata.stores import Store

MOST_ROWS = 400
"""Of one kind, in a page."""

_TRIED = 20
"""Rows that tell what all take."""

_IMAGE_SUFFIXES = ("png", "webp", "jpg", "jpeg")


@dataclass(frozen=True)
class EncodedRow:
    """A row as its shard holds it.

    Attributes:
        images: encoded, by the member's name: empty, or ``a`` and ``b`` of a pair.
        columns: everything else.
    """

    images: dict[str, bytes]
    columns: dict[str, Any]


@dataclass(frozen=True)
class SampleRow:
    """A row as a page shows it.

    Attributes:
        images: within the page, likewise.
        columns: likewise.
        nearest: the real image nearest to it; None if it is not shown.
    """

    images: dict[str, Picture]
    columns: dict[str, Any]
    nearest: Picture | None = None

    @property
    def characters(self) -> int:
        """What its images take in the page."""
        return sum(len(image.uri) for image in (*self.images.values(), self.nearest) if image is not None)


@dataclass(frozen=True)
class Sample:
    """Rows of one kind.

    Attributes:
        every: the distance of two rows in the dataset; the first row is always shown.
        rows: at most ``MOST_ROWS``.
    """

    every: int
    rows: list[SampleRow]


def sample_rows(
    store: Store,
    shards: list[dict[str, Any]],
    budget: int,
    nearest: Callable[[Mapping[str, Any]], Picture | None] = lambda columns: None,
    pictured: Callable[[Mapping[str, Any], dict[str, bytes]], dict[str, Picture]] | None = None,
) -> Sample:
    """Every k-th row of ``shards``, with k as small as ``MOST_ROWS`` and ``budget`` allow.

    Args:
        store: of the dataset.
        shards: of one kind, as the manifest lists them.
        budget: the most characters that the images may take.
        nearest: the real image to show beside a row, from the row's columns.
        pictured: a row's images as they are shown, from its columns and what its shard holds; as they are if not given.

    Raises:
        FailureError: a shard is missing, or cannot be read.
    """
    every = max(1, -(-sum(shard["rows"] for shard in shards) // MOST_ROWS))
    encoded = list(_every_row(store, shards, every))

    def shown(row: EncodedRow) -> SampleRow:
        if pictured is not None:
            images = pictured(row.columns, row.images)
        else:
            images = {member: picture(content, f"an image of {store}") for member, content in row.images.items()}
        return SampleRow(images, _plain(row.columns), nearest(row.columns))

    tried = [shown(row).characters for row in encoded[:: max(1, len(encoded) // _TRIED)]]
    fewer = max(1, -(-sum(tried) * len(encoded) // max(len(tried), 1) // budget))
    return Sample(every * fewer, [shown(row) for row in encoded[::fewer]])


def _every_row(store: Store, shards: list[dict[str, Any]], every: int) -> Iterator[EncodedRow]:
    starts = itertools.accumulate((shard["rows"] for shard in shards), initial=0)
    for start, shard in zip(starts, shards, strict=False):
        places = range(-start % every, shard["rows"], every)
        rows = _parquet_rows if shard["path"].endswith(".parquet") else _tar_rows
        if not places:
            continue
        try:
            with store.on_disk(shard["path"]) as path:
                yield from rows(path, places)
        except (OSError, ValueError, IndexError, pa.ArrowException) as error:
            raise FailureError(
                f"{store}/{shard['path']} cannot be read ({error}): `synthdata verify {store}` tells what is wrong"
            ) from error


def _tar_rows(path: Path, places: range) -> Iterator[EncodedRow]:
    from synthdata.data.shards import read_samples  # slow to import

    samples = list(read_samples(0, str(path)))
    with path.open("rb") as file:
        for place in places:
            images: dict[str, bytes] = {}
            columns: dict[str, Any] = {}
            for suffix, member in sorted(samples[place].members.items()):
                file.seek(member.offset)
                content = file.read(member.size)
                name, _, kind = suffix.rpartition(".")
                if kind in _IMAGE_SUFFIXES:
                    images[name] = content
                elif kind == "json":
                    columns |= _object(content)
            yield EncodedRow(images, columns)


def _parquet_rows(path: Path, places: range) -> Iterator[EncodedRow]:
    with pq.ParquetFile(path) as file:
        start, wanted = 0, list(places)
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            here = [place - start for place in wanted if start <= place < end]
            if here:
                for row in file.read_row_group(group).take(here).to_pylist():
                    yield _parquet_row(row)
            start = end


def _parquet_row(row: Mapping[str, Any]) -> EncodedRow:
    images: dict[str, bytes] = {}
    columns: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
            images[name.removeprefix("image").removeprefix("_")] = value["bytes"]
        else:
            columns[name] = value
    return EncodedRow(images, columns)


def _plain(value: Any) -> Any:
    """As JSON can have it: numbers that are not finite are null, and what JSON has no word for is told in words."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _object(content: bytes) -> dict[str, Any]:
    columns = json.loads(content)
    return columns if isinstance(columns, dict) else {"json": columns}
