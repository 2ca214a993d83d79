"""A folder of this machine."""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from synthdata.errors import FailureError, MisuseError
from synthdata.formats import inside
from synthdata.paths import open_regular
from synthdata.stores.store import Draft, Store, Stored

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST)
_LINK = "a link, where a folder should be"


class LocalStore(Store):
    """Links are followed as far as they stay inside.

    Every method that takes a path raises ``FailureError`` where links lead it out of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)

    @property
    def title(self) -> str:
        return self.folder.resolve().name

    @property
    def place(self) -> str:
        return str(self.folder.resolve())

    def exists(self, path: str) -> bool:
        return (self.folder / path).exists()

    def names(self) -> set[str]:
        return set(os.listdir(self.folder)) if self.folder.exists() else set()

    def list(self, below: str) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        waiting = [below]
        while waiting:
            parent = waiting.pop()
            if parent and (self.folder / parent).is_symlink():
                found[parent] = Stored(0, {}, _LINK)
                continue
            with (
                contextlib.suppress(FileNotFoundError, NotADirectoryError),
                os.scandir(self.folder / parent) as entries,
            ):
                for entry in entries:
                    path = f"{parent}/{entry.name}" if parent else entry.name
                    if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path)):
                        waiting.append(path)
                    else:
                        found[path] = self._told(path, entry)
        return found

    def _told(self, path: str, entry: os.DirEntry[str]) -> Stored:
        try:
            if entry.is_symlink():
                inside(self.folder, path)
            status = entry.stat()
        except (FailureError, OSError):
            return Stored(0, {}, "a link that leads out of the folder, or nowhere")
        return Stored(status.st_size, {}, "" if stat.S_ISREG(status.st_mode) else "no regular file")

    def fetch(self, path: str) -> Path:
        return inside(self.folder, path)

    def keep(self, path: str) -> Path:
        return self.fetch(path)

    def read_all(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        for path in paths:
            try:
                with open_regular(inside(self.folder, path)) as file:
                    content = file.read()
            except FileNotFoundError:
                yield None
            else:
                yield content

    @contextlib.contextmanager
    def on_disk(self, path: str) -> Iterator[Path]:
        yield self.fetch(path)

    @contextlib.contextmanager
    def working_copy(self, leave_out: Iterable[str]) -> Iterator[Path]:
        yield self.folder

    def sha256(self, path: str) -> str:
        with inside(self.folder, path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextlib.contextmanager
    def draft(self, path: str, aside: str = "") -> Iterator[Draft]:
        final = inside(self.folder, path, whole=False)
        if aside:
            folder = inside(self.folder, aside)
            for left_over in folder.glob(f"{final.name}.*.part"):
                left_over.unlink(missing_ok=True)
            local = folder / f"{final.name}.{os.getpid()}.part"
        else:
            local = final.with_name(f".{final.name}.{os.getpid()}")
        for parent in (final.parent, local.parent):
            parent.mkdir(parents=True, exist_ok=True)
        try:
            local.unlink(missing_ok=True)
            with local.open("xb") as file:  # never through a link that somebody put there
                yield Draft(path, local, file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            local.unlink(missing_ok=True)
            raise

    def put(self, draft: Draft) -> dict[str, str]:
        final = inside(self.folder, draft.path, whole=False)
        try:
            draft.local.replace(final)
        except BaseException:
            draft.local.unlink(missing_ok=True)
            raise
        _sync_folder(final.parent)
        return {}

    def create(self, path: str, content: bytes) -> None:
        final = inside(self.folder, path, whole=False)
        own = final.with_name(f"{final.name}.{os.getpid()}")
        own.unlink(missing_ok=True)
        with own.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(own, final)
        own.unlink()

    def delete(self, path: str) -> None:
        inside(self.folder, path, whole=False).unlink(missing_ok=True)

    def delete_folder(self, path: str, last: str) -> None:
        folder = inside(self.folder, path)
        for each in sorted(folder.iterdir(), key=lambda each: each.name == last):
            each.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another process may just have begun, and removes it when it is done
            folder.rmdir()


@contextlib.contextmanager
def disk_errors(folder: Store | Path) -> Iterator[None]:
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
