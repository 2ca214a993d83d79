"""What can be done with the files of a folder."""

import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Stored:
    """What a store tells of a file without reading it.

    Attributes:
        size: in bytes.
        hashes: "md5" or "sha256" of its content in hexadecimal, where the store knows it.
        unsound: why it is not to be read; empty if it is.
    """

    size: int
    hashes: Mapping[str, str]
    unsound: str = ""


class Draft:
    """A file that is only appended to, on this machine, until it is put in its place.

    Args:
        path: its place in the store.
        local: where it is until then.
        file: ``local``, open.
        hashes: what is computed of its content, beside sha256.
    """

    def __init__(self, path: str, local: Path, file: BinaryIO, hashes: Iterable[str] = ()) -> None:
        self.path, self.local = path, local
        self.size = 0
        self.closed = False
        self._file = file
        self._digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", *hashes)}

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of everything written so far."""
        return self.digest("sha256")

    def digest(self, name: str) -> str:
        """As ``sha256``, by another of the hashes."""
        return self._digests[name].hexdigest()

    def write(self, data: bytes) -> int:
        """Append ``data``; returns its length."""
        self._file.write(data)
        for digest in self._digests.values():
            digest.update(data)
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


class Store(ABC):
    """The files below one folder; paths are relative to it, with forward slashes.

    A file appears under its name when it is complete, and what is there already is replaced only then. Besides what
    the methods name, they raise ``SynthdataError`` where the store is not there or does not answer, and on this machine
    ``OSError``.

    Attributes:
        name: as it was given.
    """

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    @abstractmethod
    def title(self) -> str:
        """The folder's own name."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Its name, alike however it was given."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def names(self) -> set[str]:
        """Of the files and folders right below; empty if there is no such folder."""

    @abstractmethod
    def list(self, below: str) -> dict[str, Stored]:
        """All files below a folder, or all there are for an empty name, by path."""

    @abstractmethod
    def fetch(self, path: str) -> Path:
        """A file as it is now, on this machine.

        Raises:
            FileNotFoundError: there is none; on this machine only when it is opened.
        """

    @abstractmethod
    def keep(self, path: str) -> Path:
        """As ``fetch``, once: the file stays until the program ends, also for the processes that this one starts."""

    @abstractmethod
    def read_all(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        """The content of many small files in their order, None for those that are not there."""

    @abstractmethod
    def on_disk(self, path: str) -> contextlib.AbstractContextManager[Path]:
        """As ``fetch``, for as long as the block takes."""

    @abstractmethod
    def working_copy(self, leave_out: Iterable[str]) -> contextlib.AbstractContextManager[Path]:
        """The folder on this machine, with its files but those below ``leave_out``; what the block writes is put."""

    @abstractmethod
    def sha256(self, path: str) -> str:
        """Of a file's content, read anew.

        Raises:
            FileNotFoundError: there is none.
        """

    @abstractmethod
    def draft(self, path: str, aside: str = "") -> contextlib.AbstractContextManager[Draft]:
        """A new file, to be ``put`` after the block; if the block raises, it is removed.

        Args:
            aside: a folder below that may hold what is not complete.
        """

    @abstractmethod
    def put(self, draft: Draft) -> dict[str, str]:
        """Put a draft in its place, whole or not at all; returns the hashes by which ``list`` will tell its content."""

    @abstractmethod
    def create(self, path: str, content: bytes) -> None:
        """Write a file unless there is one already; on this machine into a folder that is there."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove a file, which may not be there."""

    @abstractmethod
    def delete_folder(self, path: str, last: str) -> None:
        """Remove the files of a folder that has no folders in it, the one called ``last`` after all others."""

    def write(self, path: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        with self.draft(path) as draft:
            draft.write(content)
        self.put(draft)

    def write_json(self, path: str, content: Mapping[str, Any]) -> None:
        """Write ``content`` for people to read as well."""
        self.write(path, (json.dumps(content, indent=2) + "\n").encode())
