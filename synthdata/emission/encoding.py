"""Rows to the bytes of tar and Parquet files; the same rows give the same bytes."""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Value
from datasets import Image as ImageFeature
from numpy.typing import NDArray
from PIL import Image

from synthdata.emission.config import ImageFormat
from synthdata.emission.kinds import KINDS, Kind, Row, columns_of
from synthdata.stores import Draft

_SUFFIXES: dict[ImageFormat, str] = {"png": "png", "webp": "webp", "jpeg": "jpg"}

ROW_GROUP = 100
ROW_GROUP_BYTES = 95_000_000
"""A reader of a Parquet file reads so many rows at once, or images of so many bytes if these come first: the Hub's
viewer shows no row of a group above 100 MB."""


@dataclass(frozen=True)
class EncodedRow:
    """A row as it is written.

    Attributes:
        index: its index in the dataset.
        key: its name within the dataset.
        images: the encoded images, by member.
        suffix: file name suffix of the images.
        metadata: its columns.
        dropped: as in ``Row``.
        candidate_scores: as in ``Row``.
    """

    index: int
    key: str
    images: dict[str, bytes]
    suffix: str
    metadata: dict[str, Any]
    dropped: Counter[str]
    candidate_scores: list[float]


def encode_row(row: Row, image_format: ImageFormat, quality: int) -> EncodedRow:
    """Encode a row's images; ``quality`` is that of "jpeg", from 1 to 100, the other formats keep every pixel."""
    members = KINDS[row.kind].members if row.members is None else row.members
    encoded = (_encode_image(image, image_format, quality) for image in row.images)
    images = dict(zip(members, encoded, strict=True))
    key, suffix = f"{row.kind}-{row.index:08d}", _SUFFIXES[image_format]
    return EncodedRow(row.index, key, images, suffix, row.metadata, row.dropped, row.candidate_scores)


def _encode_image(image: NDArray[Any] | bytes, image_format: ImageFormat, quality: int) -> bytes:
    if isinstance(image, bytes):
        return image
    buffer = io.BytesIO()
    options: dict[str, Any] = {}
    if image_format == "webp":
        options["lossless"] = True
    elif image_format == "jpeg":
        options["quality"] = quality
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, image_format, **options)
    return buffer.getvalue()


def write_tar(file: Draft, features: Features, rows: Iterable[EncodedRow]) -> None:
    """WebDataset: for each row its images, ``<key>.png`` or ``<key>.a.png`` and ``<key>.b.png``, and ``<key>.json``."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:  # type: ignore[call-overload]
        for row in rows:
            for member, image in row.images.items():
                _add(tar, ".".join(filter(None, (row.key, member, row.suffix))), image)
            _add(tar, f"{row.key}.json", json.dumps(row.metadata).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, user or group: zero and empty by default
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_parquet(file: Draft, features: Features, rows: Iterable[EncodedRow]) -> None:
    """Parquet whose columns ``image``, or ``image_a`` and ``image_b``, are read as images, beside the metadata."""
    schema = features.arrow_schema
    with pq.ParquetWriter(file, schema, write_page_index=True) as writer:
        for group in _row_groups(rows):
            writer.write_table(pa.Table.from_pylist([_parquet_row(row) for row in group], schema))


def _row_groups(rows: Iterable[EncodedRow]) -> Iterator[list[EncodedRow]]:
    group: list[EncodedRow] = []
    size = 0
    for row in rows:
        own = sum(map(len, row.images.values()))
        if group and (len(group) == ROW_GROUP or size + own > ROW_GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(row)
        size += own
    if group:
        yield group


def parquet_features(kind: Kind, criteria: Mapping[str, Any] | None = None) -> Features:
    """The columns of a Parquet file, of rows that were chosen by ``criteria``."""
    metadata = columns_of(kind, criteria or {})
    images = {image_column(member): ImageFeature() for member in KINDS[kind].members}
    return Features({**images, **{name: Value(dtype) for name, dtype in metadata.items()}})


def _parquet_row(row: EncodedRow) -> dict[str, Any]:
    images = {
        image_column(member): {"bytes": image, "path": ".".join(filter(None, (row.key, member, row.suffix)))}
        for member, image in row.images.items()
    }
    return {**images, **row.metadata}


def image_column(member: str) -> str:
    """The Parquet column of a member."""
    return f"image_{member}" if member else "image"
