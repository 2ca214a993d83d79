"""Comparing a dataset directory with its manifest, byte for byte."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from synthdata.emission.manifest import read_manifest
from synthdata.errors import FailureError


def verify_dataset(folder: Path | str) -> list[str]:
    """What is wrong with the shards of a finished dataset; an empty list if nothing is.

    Every shard is read once, several at a time, so that the disk sets the pace.

    Returns:
        One line for each shard that is missing, truncated, altered, or not in the manifest.

    Raises:
        MisuseError: there is no manifest.
        FailureError: the manifest is damaged, or a shard cannot be read.
    """
    folder = Path(folder)
    shards = read_manifest(folder)["shards"]
    with ThreadPoolExecutor() as pool:
        problems = [problem for problem in pool.map(lambda shard: shard_problem(folder, shard), shards) if problem]
    expected = {shard["path"] for shard in shards}
    found = {path.relative_to(folder).as_posix() for path in (folder / "data").rglob("*") if path.is_file()}
    return problems + [f"{path}: not in the manifest" for path in sorted(found - expected)]


def shard_problem(folder: Path, shard: dict[str, Any]) -> str | None:
    """What is wrong with one shard, given its record; None if it is as recorded."""
    path, size = folder / shard["path"], shard["bytes"]
    try:
        actual = path.stat().st_size
        if actual < size:
            return f"{shard['path']}: truncated, {actual:,} of {size:,} bytes"
        if actual > size:
            return f"{shard['path']}: altered, {actual:,} bytes instead of {size:,}"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != shard["sha256"]:
                return f"{shard['path']}: altered, its sha256 is not the recorded one"
    except FileNotFoundError:
        return f"{shard['path']}: missing"
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror}") from error
    return None
