"""One process at a time at work on a folder: a lock that ends with its process, however that ends.

The lock is one of the operating system's on a small file, which also says whose it is. A process that is gone holds
none, whether it was killed, its machine lost, or its number given to another process; and what it left does not block
whoever goes on. Over a network the file system has to support such locks; where it does not, nothing is claimed.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from synthdata.errors import MisuseError, SynthdataError
from synthdata.reading import read_json

_HELD = (errno.EACCES, errno.EAGAIN)


class Owner(TypedDict):
    """Who holds a claim."""

    pid: int
    host: str


@contextlib.contextmanager
def claimed(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file ``path``, which is made and removed again.

    Args:
        work: what is claimed, for the message.

    Raises:
        MisuseError: another process holds it.
    """
    handle = _locked(path, work)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.close(handle)


def owner(path: Path) -> str | None:
    """Who holds the lock file ``path``, for a message; None if nobody does."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return _told(path) if error.errno in _HELD else None
    finally:
        os.close(handle)
    return None


def refusal(work: str, holder: str) -> MisuseError:
    """The error of whoever wants what ``holder`` has claimed."""
    return MisuseError(f"another process is at work on {work} ({holder}): wait until it is done, or stop it")


def _locked(path: Path, work: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                os.close(handle)
                raise refusal(work, _told(path)) from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                break
        os.close(handle)  # its last owner removed it in between
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps(Owner(pid=os.getpid(), host=socket.gethostname())).encode())
    return handle


def _told(path: Path) -> str:
    try:
        holder = read_json(path, Owner)
    except (SynthdataError, OSError):
        return "just begun"
    return f"process {holder['pid']} on {holder['host']}"
