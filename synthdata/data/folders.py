"""Folders of image files: nested as they come, with labels from folder names where they exist."""

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from synthdata.data.config import DataConfig
from synthdata.data.decode import Encoded, UnreadableImageError
from synthdata.data.source import IMAGE_EXTENSIONS, Rows, Source, SourceSplit, index_labels
from synthdata.data.tree import find_files
from synthdata.errors import MisuseError
from synthdata.paths import user_path
from synthdata.processes import rank
from synthdata.stores import Store, is_url, open_store

_logger = logging.getLogger(__name__)

_SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


class FileRows(Rows):
    """Image files below one folder."""

    def __init__(self, folder: Path, files: list[str]):
        self._folder = str(folder)
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def read(self, row: int) -> Encoded:
        return self.name(row)

    def name(self, row: int) -> str:
        return os.path.join(self._folder, self._files[row])


class StoredRows(Rows):
    """Image files of an object store, each fetched when it is read."""

    def __init__(self, store: Store, below: str, files: list[str]):
        self._store = store
        self._below = f"{below}/" if below else ""
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def read(self, row: int) -> Encoded:
        content = next(self._store.read_all([self._below + self._files[row]]))
        if content is None:
            raise UnreadableImageError("it is not there any more")
        return content

    def name(self, row: int) -> str:
        return f"{self._store}/{self._below}{self._files[row]}"


def open_folder(argument: str, config: DataConfig) -> Source:
    """All image files below ``argument``, in the order of their sorted paths; what is left out is told.

    Sub-folders ``train`` (needed for this), ``validation`` or ``val``, and ``test`` are splits if no other folder of
    images lies beside them; else they are classes like those. The names of the outermost folders are labels when every
    training image lies in one and there are at least two.
    """
    if is_url(argument):
        return _open_stored(argument)
    folder = user_path(argument, "imagefolder:") if argument else Path()
    if not argument or not folder.exists():
        raise MisuseError(f"{argument or 'imagefolder:'} does not exist: give a folder of images, imagefolder:PATH")
    if not folder.is_dir():
        raise MisuseError(f"{argument} is not a folder: give a folder of images, imagefolder:PATH")
    tree = find_files(folder, _is_image)
    _tell(folder, tree.told())
    named = {path.name for path in folder.iterdir() if path.name.lower() in _SPLIT_FOLDERS and path.is_dir()}
    left_out = f"; left out: {tree.told()}" if tree.left_out else ""
    return _divided(folder, named, tree.files, lambda below, files: FileRows(folder / below, files), left_out)


def _open_stored(url: str) -> Source:
    """As ``open_folder``, in an object store."""
    store = open_store(url)
    files = sorted(path for path in store.list("") if _is_image(path) and not re.search(r"(^|/)\.", path))
    named = {name for file in files if "/" in file and (name := file.split("/")[0]).lower() in _SPLIT_FOLDERS}
    return _divided(url, named, files, lambda below, found: StoredRows(store, below, found))


def _divided(
    place: object, named: set[str], files: list[str], rows: Callable[[str, list[str]], Rows], left_out: str = ""
) -> Source:
    """The image files of ``place`` by split, labelled by their folders.

    Args:
        named: sub-folders that have the name of a split.
        rows: those of the files below a sub-folder, or below an empty name for the folder itself.
        left_out: what messages add where there are no images.
    """
    folders = _split_folders(place, named, files)
    found = {split: below for split, name in folders.items() if (below := _below(name, files))}
    if "train" not in found:
        known = ", ".join(sorted(IMAGE_EXTENSIONS))
        where = f"{place}/{folders['train']}" if folders["train"] else place
        raise MisuseError(f"{where} holds no image files (by their endings: {known}): add images to it{left_out}")
    labels, classes = index_labels(_class_names(found))
    splits = {split: SourceSplit(rows(folders[split], each), labels[split]) for split, each in found.items()}
    return Source(splits, classes)


def _is_image(name: str) -> bool:
    return name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS


def _split_folders(folder: object, named: set[str], files: list[str]) -> dict[str, str]:
    """The sub-folder of each split; the folder itself, as an empty name, where all images are for training."""
    with_images = {file.split(os.sep)[0] for file in files if os.sep in file}
    others = with_images - named
    found: dict[str, str] = {}
    for name in sorted(named):
        split = _SPLIT_FOLDERS[name.lower()]
        if split in found and not others:
            raise MisuseError(f"{folder} holds {found[split]} and {name}, both for {split}: keep one of them")
        found[split] = name
    if "train" in found and not others:
        if loose := len(files) - sum(os.sep in file for file in files):
            _tell(folder, f"{loose:,} images beside {', '.join(sorted(named))}")
        return found
    if read_as_classes := sorted(named & with_images):
        beside = f"beside {min(others)}" if others else "without train"
        if rank() == 0:
            told = f"{', '.join(read_as_classes)} {beside}: read as classes, not as splits"
            _logger.warning("%s holds %s", folder, told)
    return {"train": ""}


def _below(name: str, files: list[str]) -> list[str]:
    """The files in the sub-folder ``name``, relative to it; all of them for an empty name."""
    start = name + os.sep if name else ""
    return [file[len(start) :] for file in files if file.startswith(start)]


def _tell(folder: object, left_out: str) -> None:
    if left_out and rank() == 0:
        _logger.warning("%s: left out are %s", folder, left_out)


def _class_names(files: dict[str, list[str]]) -> dict[str, list[str | None]]:
    """The outermost folder of each file, by split; all None where those are no classes."""
    names = {
        split: [sys.intern(file.split(os.sep)[0]) if os.sep in file else None for file in found]
        for split, found in files.items()
    }
    in_training = set(names["train"])
    if None in in_training or len(in_training) < 2:
        return {split: [None] * len(found) for split, found in files.items()}
    return {split: [name if name in in_training else None for name in column] for split, column in names.items()}
