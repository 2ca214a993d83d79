"""Comparing a dataset directory with its manifest, byte for byte."""

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from synthdata.emission.manifest import read_manifest
from synthdata.errors import FailureError
from synthdata.formats import inside


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
    if (folder / "data").is_symlink():
        return [*problems, "data: a link, where a folder should be"]
    found = {path.relative_to(folder).as_posix() for path in (folder / "data").rglob("*") if not path.is_dir()}
    return problems + [f"{path}: not in the manifest" for path in sorted(found - expected)]


def shard_problem(folder: Path, shard: dict[str, Any]) -> str | None:
    """What is wrong with one shard, given its record; None if it is as recorded."""
    size = shard["bytes"]
    try:
        path = inside(folder, shard["path"])
    except FailureError:
        return f"{shard['path']}: a link that leads out of the folder, or nowhere"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return f"{shard['path']}: no regular file"
        actual = status.st_size
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
