"""The list of images to be forgotten: what a person writes, as rows of a source."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from synthdata.data.decode import UnreadableImageError
from synthdata.data.identity import stored
from synthdata.data.source import SourceSplit
from synthdata.errors import MisuseError, shortened
from synthdata.paths import open_regular, user_path

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_CLASS = "class:"
_MOST_BYTES = 64 * 2**20


class UnknownEntriesError(MisuseError):
    """A list names what its source does not hold.

    Attributes:
        lines: one for each such entry, for a person to read.
    """

    def __init__(self, message: str, lines: list[str]) -> None:
        super().__init__(message)
        self.lines = lines


def read_list(path: Path) -> list[tuple[int, str]]:
    """The entries of a list and the lines that they are in, from 1; empty lines and those that begin with # are none.

    Raises:
        MisuseError: it is missing, empty, or no text.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES or b"\0" in text:
            raise UnicodeError
        lines = text.decode().splitlines()
    except FileNotFoundError as error:
        raise MisuseError(f"{path} does not exist: give a list of images, or near:IMAGE_FILE") from error
    except UnicodeError as error:
        mend = f"to find training images that look like one, write near:{path}"
        raise MisuseError(f"{path} is no list: give a text file with one image a line ({mend})") from error
    except OSError as error:
        raise MisuseError(f"{path} cannot be read ({error.strerror or error}): give a text file") from error
    entries = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    entries = [(number, entry) for number, entry in entries if entry and not entry.startswith("#")]
    if not entries:
        raise MisuseError(f"{path} lists no image: write one a line (a row, a path, a sha256, or class:NAME)")
    return entries


def listed_rows(
    entries: Iterable[tuple[int, str]], split: SourceSplit, classes: list[str] | None, source: str
) -> list[int]:
    """The rows of ``split`` that ``entries`` name, in order, each once.

    An entry is the number of a row, from 0; the path of a file, as it is or from the folder of the source on; the
    sha256 of an image as it is stored; or ``class:NAME``, all images of a class.

    Args:
        entries: with their lines, as of ``read_list``.
        split: the training split of the source.
        classes: the names of its labels.
        source: as it was given.

    Raises:
        UnknownEntriesError: some entries name nothing; all of them are told.
    """
    entries = list(entries)
    of_path = _PathRows(split, source)
    of_sha256 = _by_sha256(split) if any(_SHA256.fullmatch(entry) for _, entry in entries) else {}
    rows: set[int] = set()
    unknown = []
    for number, entry in entries:
        found: Iterable[int]
        if entry.isascii() and entry.isdecimal():
            found = [int(entry)] if len(entry) < 19 and int(entry) < len(split.rows) else []
        elif _SHA256.fullmatch(entry):
            found = of_sha256.get(entry.lower(), [])
        elif entry.startswith(_CLASS):
            found = _of_class(entry.removeprefix(_CLASS).strip(), split, classes)
        else:
            found = of_path.find(entry)
        if found:
            rows.update(found)
        else:
            unknown.append(f"line {number}: {shortened(entry, 200)}")
    if unknown:
        what = f"{len(unknown)} of {len(entries)} entries name no training image of {source}"
        raise UnknownEntriesError(
            f"{what}, the first in {unknown[0]}: correct them, or name the run whose images they are", unknown
        )
    return sorted(rows)


def _of_class(name: str, split: SourceSplit, classes: list[str] | None) -> list[int]:
    if classes is None or split.labels is None or name not in classes:
        return []
    return (split.labels == classes.index(name)).nonzero()[:, 0].tolist()


def _by_sha256(split: SourceSplit) -> dict[str, list[int]]:
    """Rows by the sha256 of their stored bytes: copies of one file share it."""
    found: dict[str, list[int]] = {}
    for row in range(len(split.rows)):
        try:
            content = stored(split.rows.read(row))
        except (UnreadableImageError, OSError):
            continue
        found.setdefault(hashlib.sha256(content).hexdigest(), []).append(row)
    return found


class _PathRows:
    """Rows by the path of their file, for folders of images."""

    def __init__(self, split: SourceSplit, source: str) -> None:
        prefix, _, argument = source.partition(":")
        self._folder = user_path(argument) if prefix == "imagefolder" and argument else None
        self._split = split
        self._rows: dict[str, int] | None = None

    def find(self, entry: str) -> list[int]:
        if self._folder is None:
            return []
        if self._rows is None:
            names = (self._split.rows.name(row) for row in range(len(self._split.rows)))
            self._rows = {os.path.realpath(name): row for row, name in enumerate(names)}
        found = (self._rows.get(os.path.realpath(place)) for place in self._places(self._folder, entry))
        return [row for row in found if row is not None][:1]

    def _places(self, folder: Path, entry: str) -> Iterator[Path]:
        if "\0" not in entry:
            yield from (folder / entry, folder / "train" / entry, Path(entry))
