"""Comparing a dataset with its manifest."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from synthdata.emission.manifest import read_manifest
from synthdata.errors import FailureError
from synthdata.stores import LocalStore, Location, Store, Stored, open_store

DATA = "data"


def verify_dataset(location: Location, deep: bool = False) -> list[str]:
    """What is wrong with the shards of a finished dataset; an empty list if nothing is.

    On this machine every shard is read once, several at a time, so that the disk sets the pace. Of an object store one
    listing is read: sizes are compared, and hashes of the content where the store tells them.

    Args:
        location: of the dataset.
        deep: also read every shard of an object store.

    Returns:
        One line for each shard that is missing, truncated, altered, or not in the manifest.

    Raises:
        MisuseError: there is no manifest.
        FailureError: the manifest is damaged, or a shard cannot be read.
    """
    store = open_store(location)
    shards = read_manifest(store)["shards"]
    found = store.list(DATA)
    problems = [problem for problem in shard_problems(store, shards, found, deep) if problem]
    expected = {shard["path"] for shard in shards}
    strangers = (f"{path}: {found[path].unsound or 'not in the manifest'}" for path in sorted(found.keys() - expected))
    return [*problems, *strangers]


def shard_problems(
    store: Store, shards: Sequence[Mapping[str, Any]], found: Mapping[str, Stored], deep: bool = False
) -> list[str | None]:
    """What is wrong with each of ``shards``, given their records and what was ``found``; None if it is as recorded."""
    deep = deep or isinstance(store, LocalStore)
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda shard: _problem(store, shard, found.get(shard["path"]), deep), shards))


def _problem(store: Store, shard: Mapping[str, Any], found: Stored | None, deep: bool) -> str | None:
    path, size = shard["path"], shard["bytes"]
    altered = f"{path}: altered, its sha256 is not the recorded one"
    if found is None:
        return f"{path}: missing"
    if found.unsound:
        return f"{path}: {found.unsound}"
    if found.size < size:
        return f"{path}: truncated, {found.size:,} of {size:,} bytes"
    if found.size > size:
        return f"{path}: altered, {found.size:,} bytes instead of {size:,}"
    if any(shard.get(name, told) != told for name, told in found.hashes.items()):
        return altered
    try:
        return altered if deep and store.sha256(path) != shard["sha256"] else None
    except FileNotFoundError:
        return f"{path}: missing"
    except OSError as error:
        raise FailureError(f"{store}/{path} cannot be read: {error.strerror}") from error
