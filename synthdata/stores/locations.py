"""From what a person names to a store."""

import os
import re
from functools import cache

from synthdata.errors import MisuseError
from synthdata.formats import SUFFIXES
from synthdata.paths import user_path
from synthdata.stores.local import LocalStore
from synthdata.stores.store import Store

Location = str | os.PathLike[str] | Store
"""A path, a URL of an object store, or a store that is open already."""

PACKAGES = {
    "s3": "'synthdata[s3]'",
    "gs": "'synthdata[gcs]'",
    "az": "adlfs",
    "hf": "huggingface-hub",
    "memory": "fsspec",
}
"""Schemes, and what ``pip install`` needs to be told for each."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_REPOSITORY = re.compile(r"hf://datasets/([^/@]+/[^/@]+)/?$")
_ON_THE_HUB = re.compile(r"(datasets|buckets)/[^/]+/[^/]+")
_SECRET = re.compile(r"[?#]|://[^/]*:[^/]*@")


def is_url(text: str) -> bool:
    """Whether ``text`` names a place in an object store, and no path."""
    return _SCHEME.match(text) is not None


def open_store(location: Location) -> Store:
    """The store at ``location``, which need not be there yet; nothing is asked of it until it is used.

    Raises:
        MisuseError: a scheme that is not known or needs a package that is not there, or no name that a folder can have.
    """
    if isinstance(location, Store):
        return location
    text = os.fspath(location)
    return _remote(text) if is_url(text) else LocalStore(user_path(text))


def loading_call(location: Location, kind: str, file_format: str) -> str:
    """The call of ``datasets.load_dataset`` that loads the rows of a kind from a dataset at ``location``."""
    name = _REPOSITORY.sub(r"\1", str(location))
    if is_url(name):  # of these load_dataset reads files, and no card that would tell it which
        files = f"{name.rstrip('/')}/data/{kind}/*.{SUFFIXES[file_format]}"
        return f'load_dataset("{file_format}", data_files="{files}", split="train")'
    return f'load_dataset("{name}", "{kind}", split="train")'


@cache
def _remote(url: str) -> Store:
    from synthdata.stores.remote import RemoteStore

    match = _SCHEME.match(url)
    assert match is not None
    scheme, rest = match[1], url[match.end() :].strip("/")
    if scheme not in PACKAGES:
        known = ", ".join(f"{name}://" for name in PACKAGES)
        raise MisuseError(f"{scheme}:// is no scheme that is known here: give a path, or one of {known}")
    if _SECRET.search(url):
        raise MisuseError(
            f"a location of {scheme}:// holds a name and a path, and no keys: give those as environment variables"
        )
    if scheme == "hf" and not _ON_THE_HUB.match(rest):
        raise MisuseError(f"{url} is no folder: write hf://datasets/OWNER/NAME or hf://buckets/OWNER/NAME")
    if not rest:
        raise MisuseError(f"{url} names no bucket: write {scheme}://BUCKET/FOLDER")
    return RemoteStore(scheme, f"{scheme}://{rest}", rest, PACKAGES[scheme])
