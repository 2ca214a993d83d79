"""The files of an emitted dataset: in a directory, an object store or a repository of the Hub, fetched as needed."""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from synthdata.errors import FailureError, MisuseError
from synthdata.manifests import load_manifest
from synthdata.paths import user_path
from synthdata.stores import LocalStore, Store, is_url, open_store

MANIFEST = "manifest.json"

_REPOSITORY = re.compile(r"(?:hf://datasets/)?([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?/?")


class MissingFileError(FailureError):
    """A dataset lacks a file that its manifest names."""


@dataclass(frozen=True)
class ShardFile:
    """One shard, as the manifest records it.

    Attributes:
        path: below the dataset, with forward slashes.
        kind: "hard", "pairs" or "replay".
        rows: number of rows.
        sha256: of its bytes.
    """

    path: str
    kind: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class DatasetFiles:
    """Where the files of one dataset are.

    Attributes:
        source: as it was given.
        store: the dataset directory or the folder of an object store; None for a repository.
        repository: OWNER/NAME; empty for a store.
        revision: branch or commit of the repository; None for its main branch.
    """

    source: str
    store: Store | None
    repository: str = ""
    revision: str | None = None

    @classmethod
    def of(cls, source: str) -> "DatasetFiles":
        """The dataset in a directory, in an object store (``s3://BUCKET/FOLDER`` and so on), or in the repository
        ``OWNER/NAME`` or ``hf://datasets/OWNER/NAME[@REVISION]``.

        Raises:
            MisuseError: ``source`` is neither.
        """
        named = _REPOSITORY.fullmatch(source)
        if is_url(source) and named is None:
            return cls(source, open_store(source))
        if not is_url(source) and (folder := user_path(source)).is_dir():
            return cls(source, LocalStore(folder))
        if named is None or source.startswith((".", "/", "~")):
            raise MisuseError(
                f"{source} is no folder: give a dataset directory, or a repository OWNER/NAME or hf://datasets/OWNER/NAME"
            )
        return cls(source, None, named[1], named[2])

    def fetch(self, path: str) -> Path:
        """The file ``path`` of the dataset on this machine; one of the Hub is downloaded to its cache first.

        Raises:
            MisuseError: the dataset cannot be found.
            MissingFileError: it has no such file.
            FailureError: the Hub does not answer.
        """
        found = self._locate(path)
        if found is None:
            raise MissingFileError(f"{self.source} has no {path}, which its {MANIFEST} names: copy or push it again")
        return found

    def shards(self) -> list[ShardFile]:
        """The shards that the manifest names, in its order.

        Raises:
            MisuseError: there is no manifest: the dataset is not one that was emitted; or it is of a newer format.
            FailureError: the manifest is damaged, as it is if a shard in it has another path than its plan gives it.
        """
        path = self._locate(MANIFEST)
        if path is None:
            raise MisuseError(f"{self.source} has no {MANIFEST}: name a finished dataset, as recipes/emit.py writes it")
        manifest = load_manifest(path, f"{MANIFEST} of {self.source}", self.fetch)
        return [ShardFile(shard["path"], shard["kind"], shard["rows"], shard["sha256"]) for shard in manifest["shards"]]

    def _locate(self, path: str) -> Path | None:
        """The file on this machine; None if the dataset has none of this name."""
        if isinstance(self.store, LocalStore):
            return self.store.fetch(path) if (self.store.folder / path).is_file() else None
        if self.store is not None:
            try:
                return self.store.fetch(path) if path == MANIFEST else self.store.keep(path)
            except FileNotFoundError:
                return None
        try:
            return Path(hf_hub_download(self.repository, path, repo_type="dataset", revision=self.revision))
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise MisuseError(
                f"{self.source} is neither a folder nor a dataset of the Hub that you can read: check the name, or log "
                "in with hf auth login"
            ) from error
        except LocalEntryNotFoundError as error:
            raise FailureError(f"{self.source}: the Hub does not answer; check the network and try again") from error
        except EntryNotFoundError:
            return None
        except OSError as error:
            raise FailureError(f"{self.source}: {path} cannot be fetched ({error}); try again") from error
