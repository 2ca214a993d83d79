"""Whether shards that a takedown has superseded can still be had."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from synthdata import __version__
from synthdata.data.dataset_files import DatasetFiles
from synthdata.emission.manifest import MANIFEST, manifest_digest
from synthdata.errors import FailureError, MisuseError
from synthdata.manifests import load_manifest
from synthdata.publishing.push import Target, hub_errors_as_one_line
from synthdata.stores import LocalStore, Store


@dataclass(frozen=True)
class Found:
    """What became of the shards of an old dataset.

    Attributes:
        old: number of them.
        kept: those that the new dataset has as well, as none of their rows changed.
        present: paths of files that are one of the others.
        history: what older revisions keep, and the command that ends it; empty for a folder.
    """

    old: int
    kept: int
    present: list[str]
    history: str = ""


def look_for(source: str, old_manifest: Path) -> Found:
    """Look for the shards of ``old_manifest`` in a dataset directory, or in the newest revision of a repository.

    Args:
        source: a dataset directory, or OWNER/NAME on the Hub.
        old_manifest: of the dataset that was superseded.

    Raises:
        MisuseError: one of them is no dataset, or the dataset does not supersede the one of ``old_manifest``.
        FailureError: a file cannot be read, or the Hub does not answer.
    """
    try:
        old = load_manifest(old_manifest)
        digest = manifest_digest(old_manifest)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise MisuseError(f"{old_manifest} is no file: name the {MANIFEST} of the old dataset") from error
    files = DatasetFiles.of(source)
    now = load_manifest(files.fetch(MANIFEST), f"{MANIFEST} of {source}", files.fetch)
    if now.get("takedown", {}).get("supersedes") != digest:
        raise MisuseError(f"{source} does not supersede the dataset of {old_manifest}: push the one that does")
    kept = {shard["sha256"] for shard in now["shards"]}
    sought = {shard["sha256"]: shard for shard in old["shards"] if shard["sha256"] not in kept}
    history = ""
    if isinstance(files.store, LocalStore):
        there = _hashes_of_folder(files.store.folder, sought)
    elif files.store is not None:
        there = _hashes_of_store(files.store, sought)
    else:
        there = _hashes_of_repository(files.repository)
        history = (
            f'older revisions of {files.repository} keep the old shards until you end them: python -c "from'
            f" huggingface_hub import HfApi; HfApi().super_squash_history('{files.repository}', repo_type='dataset')\""
        )
    present = sorted(path for path, sha256 in there.items() if sha256 in sought)
    return Found(len(old["shards"]), len(old["shards"]) - len(sought), present, history)


def _hashes_of_folder(folder: Path, sought: dict[str, Any]) -> dict[str, str]:
    """The sha256 of every file below ``folder`` that is as long as one of those sought, under whatever name."""
    sizes, found = {shard["bytes"] for shard in sought.values()}, {}
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size in sizes:
                with path.open("rb") as file:
                    found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FailureError(f"{error.filename} cannot be read ({error.strerror})") from error
    return found


def _hashes_of_store(store: Store, sought: dict[str, Any]) -> dict[str, str]:
    """As ``_hashes_of_folder``, in an object store."""
    sizes = {shard["bytes"] for shard in sought.values()}
    return {path: store.sha256(path) for path, found in sorted(store.list("").items()) if found.size in sizes}


def _hashes_of_repository(repository: str) -> dict[str, str]:
    """The sha256 of every large file in the newest revision; shards are kept as large files, whatever their size."""
    api = HfApi(library_name="synthdata", library_version=__version__)
    with hub_errors_as_one_line(Target(repository, "dataset")):
        try:
            tree = list(api.list_repo_tree(repository, repo_type="dataset", recursive=True))
        except RepositoryNotFoundError as error:
            raise MisuseError(f"{repository} is no dataset of the Hub that you can read: check the name") from error
    return {entry.path: entry.lfs.sha256 for entry in tree if isinstance(entry, RepoFile) and entry.lfs is not None}
