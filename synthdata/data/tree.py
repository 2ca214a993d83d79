"""What lies below a folder: regular files, each once, whatever links there are."""

import os
import stat
from array import array
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from synthdata.errors import MisuseError
from synthdata.paths import is_inside

_OUTSIDE = "links that lead out of it or to nothing"
_TWICE = "links and second names of what is read already"
_IRREGULAR = "pipes, devices or sockets"


@dataclass
class Tree:
    """The files found below a folder.

    Attributes:
        files: their paths relative to the folder, sorted.
        left_out: by reason, the relative paths of what has the name of such a file and is not read.
    """

    files: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def told(self) -> str:
        """One line on what is left out; empty if nothing is."""
        reasons = (f"{len(paths):,} {reason} (first {min(paths)})" for reason, paths in sorted(self.left_out.items()))
        return ", ".join(reasons)


def find_files(folder: Path, wanted: Callable[[str], bool]) -> Tree:
    """All regular files below ``folder`` whose name is ``wanted``; what is hidden, by a dot in front, is not looked at.

    A link is followed if it leads to a place inside the folder, or inside the same repository of the Hub's cache, that
    is not read under its own name. Of several names of one file, the first that is no link is kept.

    Raises:
        MisuseError: a folder cannot be listed.
    """
    walk = _Walk(folder, wanted)
    walk.into("")
    walk.follow_links()
    return walk.tree()


def refuse_irregular(folder: Path, source: str) -> None:
    """Raise for what a library that lists ``folder`` by itself would wait for, or walk through in circles.

    Raises:
        MisuseError: there is a link to a folder, a pipe, a device or a socket.
    """
    for parent, subfolders, names in os.walk(folder, onerror=_refuse):
        for path in (os.path.join(parent, name) for name in subfolders):
            if os.path.islink(path):
                raise MisuseError(f"{source}: {path} is a link to a folder, which may lead in circles: remove the link")
        for path in (os.path.join(parent, name) for name in names if not name.startswith(".")):
            if os.path.exists(path) and not os.path.isfile(path):
                raise MisuseError(f"{source}: {path} is a pipe, a device or a socket: remove it")


class _Walk:
    """Collects the files below a folder: first what lies there, then what links lead to."""

    def __init__(self, folder: Path, wanted: Callable[[str], bool]) -> None:
        self._folder = folder
        self._wanted = wanted
        self._bounds = _bounds(folder)
        self._seen: set[tuple[int, int]] = set()
        self._found: list[str] = []  # relative to the folder
        self._inodes = array("Q")
        self._by_link = 0  # those from here on are below links
        self._links: list[str] = []
        self._left_out: defaultdict[str, list[str]] = defaultdict(list)

    def into(self, relative: str) -> None:
        """Everything below a folder that is no link; links are kept for `follow_links`."""
        waiting = [relative]
        while waiting:
            inside = waiting.pop()
            parent = self._folder / inside
            status = os.stat(parent)
            if (place := (status.st_dev, status.st_ino)) in self._seen:
                self._left_out[_TWICE].append(inside)
                continue
            self._seen.add(place)
            for entry in _entries(parent):
                path = os.path.join(inside, entry.name)
                if entry.is_symlink():
                    self._links.append(path)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif self._wanted(entry.name):
                    if entry.is_file(follow_symlinks=False):
                        self._keep(path, entry.inode())
                    else:
                        self._left_out[_IRREGULAR].append(path)

    def follow_links(self) -> None:
        self._by_link = len(self._found)
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                self._follow(link)

    def _follow(self, relative: str) -> None:
        link = self._folder / relative
        try:
            status = os.stat(link)
        except OSError:  # it leads to nothing, or in a circle
            status = None
        is_folder = status is not None and stat.S_ISDIR(status.st_mode)
        if not is_folder and not self._wanted(link.name):
            return
        if status is None or not is_inside(link, self._bounds):
            self._left_out[_OUTSIDE].append(relative)
        elif is_folder:
            self.into(relative)
        elif stat.S_ISREG(status.st_mode):
            self._keep(relative, status.st_ino)
        else:
            self._left_out[_IRREGULAR].append(relative)

    def _keep(self, relative: str, inode: int) -> None:
        self._found.append(relative)
        self._inodes.append(inode)

    def tree(self) -> Tree:
        inodes = np.frombuffer(self._inodes, np.uint64)
        ordered = np.sort(inodes)
        repeated = np.isin(inodes, ordered[1:][ordered[1:] == ordered[:-1]]).nonzero()[0].tolist()
        places: set[tuple[int, int]] = set()
        twice: set[int] = set()
        for number in sorted(repeated, key=lambda number: (number >= self._by_link, self._found[number])):
            # Folders list inode numbers that some file systems repeat: only the files themselves tell.
            status = os.stat(self._folder / self._found[number])
            if (place := (status.st_dev, status.st_ino)) in places:
                twice.add(number)
                self._left_out[_TWICE].append(self._found[number])
            places.add(place)
        files = sorted(path for number, path in enumerate(self._found) if number not in twice)
        return Tree(files, dict(self._left_out))


def _bounds(folder: Path) -> Path:
    """What links may lead to: the folder itself; of a repository in the Hub's cache, where files are links, that."""
    real = Path(os.path.realpath(folder))
    snapshots = next((parent for parent in real.parents if parent.name == "snapshots"), None)
    return snapshots.parent if snapshots is not None and (snapshots.parent / "blobs").is_dir() else real


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise MisuseError(f"{error.filename} cannot be listed ({error.strerror}): make it readable") from error
