"""What tells one source of rows from another, wherever it lies."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthdata.data.decode import Encoded
from synthdata.data.source import SourceSplit

HASHED_ROWS = 2_000
"""A larger source is told from others by the content of about so many evenly spaced rows."""


def image_identity(split: SourceSplit) -> dict[str, Any]:
    """The identity of a source of images, whatever size they are brought to."""
    return content_identity(len(split.rows), lambda row: stored(split.rows.read(row)))


def content_identity(rows: int, content: Callable[[int], bytes]) -> dict[str, Any]:
    """The number of rows and a sha256 of their content.

    Args:
        content: the bytes of one row.
    """
    digest = hashlib.sha256()
    for row in range(0, rows, -(-rows // HASHED_ROWS)):
        digest.update(hashlib.sha256(content(row)).digest())
    return {"rows": rows, "sha256": digest.hexdigest()}


def stored(encoded: Encoded) -> bytes:
    """The bytes in which a source keeps an image."""
    if isinstance(encoded, np.ndarray):
        return np.ascontiguousarray(encoded).tobytes()
    return Path(encoded).read_bytes() if isinstance(encoded, str) else encoded
