"""A guard that stops a reader before it writes, deletes or starts anything outside one folder."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FORBIDDEN = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "pickle.find_class",
}
_WRITING = {
    "os.remove": 1,
    "os.rmdir": 1,
    "os.mkdir": 1,
    "os.chmod": 1,
    "os.chown": 1,
    "os.truncate": 1,
    "os.utime": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
}
"""Events, and how many of their arguments are paths that are changed or made."""
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class EscapeError(BaseException):
    """Code under test was about to do what it must not. No ``except Exception`` hides it."""


class _Guard:
    """The folder that may be written, while there is one; a hook that was added to Python cannot be removed."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.escapes: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _FORBIDDEN:
            self._stop(event, arguments)
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & _WRITE_FLAGS
            if writes and not isinstance(path, int) and not self._may_write(path):
                self._stop(event, arguments)
        for path in arguments[: _WRITING.get(event, 0)]:
            if not isinstance(path, int) and not self._may_write(path):
                self._stop(event, arguments)

    def _may_write(self, path: Any) -> bool:
        assert self.folder is not None
        return os.path.realpath(os.fsdecode(path)).startswith((self.folder + os.sep, os.devnull))

    def _stop(self, event: str, arguments: tuple[Any, ...]) -> None:
        self.escapes.append(f"{event}{arguments}")
        raise EscapeError(self.escapes[-1])


_guard = _Guard()


@contextmanager
def confined(folder: Path) -> Iterator[None]:
    """Within the block, Python writes below ``folder`` alone and starts nothing; all else that is tried raises."""
    _guard.folder, _guard.escapes = os.path.realpath(folder), []
    try:
        yield
    finally:
        _guard.folder = None
    assert not _guard.escapes


def fingerprint(folder: Path) -> str:
    """Of everything below ``folder``, for what libraries write without Python's knowing."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)} {path.lstat().st_mode} {path.lstat().st_size}".encode())
        if path.is_file() and not path.is_symlink():
            digest.update(path.read_bytes())
    return digest.hexdigest()
