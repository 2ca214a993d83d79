"""Files that appear under their name only when they are complete."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from synthdata.errors import FailureError, MisuseError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST)


class HashedFile:
    """A binary file that is only appended to, with the sha256 of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        self.closed = False

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of everything written so far."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Append ``data``; returns its length."""
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """The number of bytes written."""
        return self.size

    def flush(self) -> None:
        """Hand buffered bytes to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Left to the owner of the file beneath."""
        self.closed = True


@contextlib.contextmanager
def appearing_whole(path: Path, aside: Path) -> Iterator[HashedFile]:
    """Write ``path`` as ``aside``, on the same file system, and rename it once it is complete and on the disk.

    If the block raises, ``aside`` is removed and ``path`` is as it was.
    """
    try:
        aside.unlink(missing_ok=True)
        with aside.open("xb") as file:  # never through a link that somebody put there
            yield HashedFile(file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``path`` whole, or not at all."""
    with appearing_whole(path, path.with_name(f".{path.name}.{os.getpid()}")) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses in ``folder`` into an error of one line."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            mend = "make room and run the same command again, finished shards are kept"
            raise FailureError(f"no room to write {folder} ({error.strerror}): {mend}") from error
        if error.errno in _NOT_ALLOWED:
            raise MisuseError(f"cannot write {folder} ({error.strerror}): choose another --output") from error
        mend = "run the same command again, finished shards are kept"
        raise FailureError(f"writing {folder} failed ({error}): {mend}") from error


def _sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
