"""Paths that come from outside, in flags and files: named by a person, opened by this machine."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from synthdata.errors import MisuseError

_LONGEST_NAME = 255
"""Bytes of one name that common file systems take."""
_LONGEST_PATH = 4095
"""Bytes that Linux takes; others take less and say so themselves."""


@dataclass(frozen=True, repr=False)
class PathRule:
    """Marks a setting that is a path; ``~`` in front stands for the home folder."""

    def __repr__(self) -> str:
        return "a path"


PathText = Annotated[str, PathRule()]
"""A file or a folder; where it is said so, also a repository OWNER/NAME of the Hub."""


def user_path(text: str | os.PathLike[str], name: str = "") -> Path:
    """The path that ``text`` names, with the home folder in the place of ``~``.

    Args:
        text: as it was given.
        name: of the setting, for the error message.

    Raises:
        MisuseError: no file can have this name: it is empty, too long, holds a NUL, or ``~`` names nobody's home.
    """
    path = os.fspath(text)
    shown = f"{name} {_shortened(path)}".strip()
    if not path:
        raise MisuseError(f"{name or 'a path'} is empty: name a file or a folder, . for the current one")
    if "\0" in path:
        raise MisuseError(f"{shown!r} holds a NUL byte: no path can")
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as error:
        user = _shortened(path.split("/")[0])
        raise MisuseError(f"{shown}: {user} is no user's home on this machine; write the path out") from error
    try:
        encoded = os.fsencode(expanded)
    except UnicodeEncodeError as error:
        raise MisuseError(f"{shown!r} holds half a character: no path can") from error
    if len(encoded) > _LONGEST_PATH or max(map(len, encoded.split(b"/"))) > _LONGEST_NAME:
        raise MisuseError(f"{shown} is {len(encoded):,} bytes long, more than a path can be: name a shorter one")
    return expanded


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; a pipe, on which an ``open`` would wait for a writer, or a device is refused.

    Raises:
        OSError: it is no regular file, or cannot be opened.
    """
    # With O_NONBLOCK even a pipe that took the file's place after the look at it is opened without waiting.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{os.fspath(path)} is no regular file")
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{os.fspath(path)} is no regular file")
    return os.fdopen(handle, "rb")


def is_inside(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Whether ``path`` lies in ``folder`` after all links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}"
