"""A folder of an object store, by way of fsspec."""

import base64
import contextlib
import hashlib
import logging
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from itertools import count, islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec

from synthdata.errors import FailureError, MisuseError, SynthdataError
from synthdata.stores.problems import is_missing, is_passing, problem
from synthdata.stores.store import Draft, Store, Stored

Result = TypeVar("Result")

_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "use_listings_cache": False,
        "config_kwargs": {"connect_timeout": 10, "retries": {"mode": "standard", "max_attempts": 6}},
    },
    "gs": {"use_listings_cache": False},
    "az": {"use_listings_cache": False},
}
_TRIES = {"hf": 5}
"""Of a request, where the library does not repeat it by itself."""

_LONGEST_PAUSE = 15.0
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_READ_AT_ONCE = 32
_numbers = count()

for _library in ("gcsfs", "google.auth", "s3fs", "aiobotocore"):  # which tell each attempt, tracebacks and all
    logging.getLogger(_library).setLevel(logging.CRITICAL)


class RemoteStore(Store):
    """Requests that fail in passing are repeated with growing pauses, by the store's own library or here.

    Args:
        scheme: of the URL.
        url: as it was given.
        root: what follows the scheme: bucket and folder.
        package: what to install where the scheme's library is missing.
    """

    def __init__(self, scheme: str, url: str, root: str, package: str) -> None:
        self.name = url
        self._scheme, self._root = scheme, root
        try:
            self._class = fsspec.get_filesystem_class(scheme)
        except ImportError as error:
            raise MisuseError(f"{scheme}:// needs another package: pip install {package}") from error
        if scheme == "hf":
            _keep_the_hub_quiet()

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self.name, self._kept)

    @property
    def title(self) -> str:
        return PurePosixPath(self._root).name

    @property
    def place(self) -> str:
        return f"{self._scheme}://{self._plain(self._root)}"

    def exists(self, path: str) -> bool:
        return self._stored(path) is not None

    def names(self) -> set[str]:
        try:
            listed = self._ask("read", lambda: self._fresh.ls(self._root, detail=False))
        except FileNotFoundError:
            return set()
        return {PurePosixPath(name).name for name in listed} - {self.title}

    def list(self, below: str) -> dict[str, Stored]:
        try:
            found = self._ask("read", lambda: self._fresh.find(self._at(below), detail=True))
        except FileNotFoundError:
            return {}
        start = len(self._plain(self._root)) + 1
        told = {name[start:]: info for name, info in found.items() if info["type"] == "file"}
        return {path: _told(info) for path, info in told.items() if path.startswith(f"{below}/" if below else "")}

    def fetch(self, path: str) -> Path:
        target = _new_file(path)
        try:
            self._ask("read", lambda: self._fresh.get_file(self._at(path), str(target)))
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def keep(self, path: str) -> Path:
        target = self._kept / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            self.fetch(path).replace(target)
        return target

    def read_all(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        waiting = iter(paths)
        self._fresh  # noqa: B018
        with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            while block := list(islice(waiting, 8 * _READ_AT_ONCE)):
                yield from pool.map(self._content, block)

    @contextlib.contextmanager
    def on_disk(self, path: str) -> Iterator[Path]:
        local = self.fetch(path)
        try:
            yield local
        finally:
            local.unlink()

    @contextlib.contextmanager
    def working_copy(self, leave_out: Iterable[str]) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=_scratch()) as parent:
            folder = Path(parent) / self.title
            folder.mkdir()
            for name in self.names() - set(leave_out):
                paths = self.list(name) if self._stored(name) is None else [name]
                for path in paths:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    self.fetch(path).replace(folder / path)
            before = _states(folder)
            yield folder
            for path, state in _states(folder).items():
                if before.get(path) != state:
                    self.write(path, (folder / path).read_bytes())

    def sha256(self, path: str) -> str:
        with self.on_disk(path) as local, local.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextlib.contextmanager
    def draft(self, path: str, aside: str = "") -> Iterator[Draft]:
        local = _new_file(path)
        try:
            with local.open("xb") as file:
                yield Draft(path, local, file, ["md5"])
        except BaseException:
            local.unlink(missing_ok=True)
            raise

    def put(self, draft: Draft) -> dict[str, str]:
        try:
            self._ask("write", lambda: self._files.put_file(str(draft.local), self._at(draft.path)))
        finally:
            draft.local.unlink()
        there = self._stored(draft.path)
        if there is None or there.size != draft.size:
            size = f"{there.size:,}" if there else "no"
            raise FailureError(
                f"{self}/{draft.path} has {size} bytes after {draft.size:,} were put there: run the same command again"
            )
        return {"md5": draft.digest("md5")} if there.hashes.get("md5") == draft.digest("md5") else {}

    def create(self, path: str, content: bytes) -> None:
        if self.exists(path):
            return
        with contextlib.suppress(FileExistsError):
            self._ask("write", lambda: self._files.pipe_file(self._at(path), content, mode="create"))

    def delete(self, path: str) -> None:
        if self.exists(path):
            with contextlib.suppress(FileNotFoundError):  # another process did
                self._ask("write", lambda: self._files.rm_file(self._at(path)))

    def delete_folder(self, path: str, last: str) -> None:
        if self._scheme == "hf":  # in one commit
            with contextlib.suppress(FileNotFoundError):
                self._ask("write", lambda: self._fresh.rm(self._at(path), recursive=True))
            return
        others = [self._at(each) for each in self.list(path) if each != f"{path}/{last}"]
        if others:
            with contextlib.suppress(FileNotFoundError):  # another process removes them as well
                self._ask("write", lambda: self._files.rm(others))
        self.delete(f"{path}/{last}")

    @cached_property
    def _kept(self) -> Path:
        return _scratch() / hashlib.sha256(self.name.encode()).hexdigest()[:16]

    @cached_property
    def _files(self) -> fsspec.AbstractFileSystem:
        return self._ask("read", lambda: self._class(**_OPTIONS.get(self._scheme, {})))

    @property
    def _fresh(self) -> fsspec.AbstractFileSystem:
        """Others may have written since the last look: none of what is remembered counts."""
        self._files.invalidate_cache()
        return self._files

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _plain(self, name: str) -> str:
        """A name as the store's library tells it."""
        return self._class._strip_protocol(f"{self._scheme}://{name}")

    def _stored(self, path: str) -> Stored | None:
        try:
            info = self._ask("read", lambda: self._fresh.info(self._at(path)))
        except FileNotFoundError:
            return None
        return _told(info) if info["type"] == "file" else None

    def _content(self, path: str) -> bytes | None:
        try:
            return self._ask("read", lambda: self._files.cat_file(self._at(path)))
        except FileNotFoundError:
            return None

    def _reason(self, error: Exception) -> Exception:
        """An error that says more: to a question about one file a refusal has no reason, to a listing it has."""
        if isinstance(error, PermissionError):
            try:
                self._files.ls(self._root)
            except FileNotFoundError:
                return error
            except Exception as told:
                return told
        return error

    def _ask(self, purpose: str, request: Callable[[], Result]) -> Result:
        """The answer to ``request``.

        Raises:
            FileNotFoundError: there is no such file, in a bucket that is there; or ``FileExistsError``.
            SynthdataError: for everything else that goes wrong.
        """
        for attempt in range(1, _TRIES.get(self._scheme, 1) + 1):
            try:
                return request()
            except (FileExistsError, SynthdataError):
                raise
            except FileNotFoundError as error:
                if is_missing(error):
                    raise problem(error, self.name, purpose) from None
                raise
            except Exception as error:
                if attempt == _TRIES.get(self._scheme, 1) or not is_passing(error):
                    raise problem(self._reason(error), self.name, purpose) from None  # its cause may hold keys
            time.sleep(min(2.0**attempt, _LONGEST_PAUSE) * random.uniform(0.25, 0.5))
        raise AssertionError("the last attempt returns or raises")


def _told(info: Mapping[str, Any]) -> Stored:
    hashes: dict[str, str] = {}
    etag = _MD5.fullmatch(str(info.get("ETag") or info.get("etag") or ""))
    if etag and "md5Hash" not in info:
        hashes["md5"] = etag[1]
    if coded := info.get("md5Hash"):
        hashes["md5"] = base64.b64decode(coded).hex()
    if large := info.get("lfs"):
        hashes["sha256"] = large["sha256"]
    return Stored(info["size"] or 0, hashes)


def _keep_the_hub_quiet() -> None:
    """Without a bar for each file, and without warnings that name signed links, which are credentials."""
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils import logging as hub_logging

    disable_progress_bars()
    hub_logging.set_verbosity_error()


def _open_again(name: str, kept: Path) -> Store:
    from synthdata.stores.locations import open_store

    store = open_store(name)
    assert isinstance(store, RemoteStore)
    store._kept = kept
    return store


def _states(folder: Path) -> dict[str, tuple[int, ...]]:
    """What tells of the files below a folder whether they were written since."""
    states = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (state.st_ino, state.st_size, state.st_mtime_ns) for path, state in states.items()}


@cache
def _scratch() -> Path:
    """Where this process keeps what is on its way."""
    folder = tempfile.TemporaryDirectory(prefix="synthdata-")
    _kept.append(folder)
    return Path(folder.name)


def _new_file(path: str) -> Path:
    """Where a copy of ``path`` can be, under a name that no other has."""
    return _scratch() / f"{os.getpid()}-{next(_numbers)}-{PurePosixPath(path).name}"


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when the program ends."""
