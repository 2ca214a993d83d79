"""Folders of image files: nested as they come, with labels from folder names where they exist."""

import os
from pathlib import Path

from synthdata.data.config import DataConfig
from synthdata.data.decode import Encoded
from synthdata.data.source import IMAGE_EXTENSIONS, Rows, Source, SourceSplit, index_labels
from synthdata.errors import MisuseError

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


def open_folder(argument: str, config: DataConfig) -> Source:
    """All image files below ``argument``, in the order of their sorted paths.

    Sub-folders ``train`` (needed for this), ``validation`` or ``val``, and ``test`` are splits. The names of the
    outermost folders are labels when every training image lies in one and there are at least two.
    """
    folder = Path(argument).expanduser()
    if not argument or not folder.exists():
        raise MisuseError(f"{argument or 'imagefolder:'} does not exist: give a folder of images, imagefolder:PATH")
    if not folder.is_dir():
        raise MisuseError(f"{argument} is not a folder: give a folder of images, imagefolder:PATH")
    folders = _split_folders(folder)
    files = {split: found for split, path in folders.items() if (found := _image_files(path))}
    if "train" not in files:
        known = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise MisuseError(f"{folders['train']} holds no image files (by their endings: {known}): add images to it")
    labels, classes = index_labels(_class_names(files))
    splits = {name: SourceSplit(FileRows(folders[name], found), labels[name]) for name, found in files.items()}
    return Source(splits, classes)


def _split_folders(folder: Path) -> dict[str, Path]:
    found = {
        _SPLIT_FOLDERS[path.name.lower()]: path
        for path in sorted(folder.iterdir())
        if path.is_dir() and path.name.lower() in _SPLIT_FOLDERS
    }
    return found if "train" in found else {"train": folder}


def _image_files(folder: Path) -> list[str]:
    """Paths relative to ``folder``, sorted; hidden files and folders are left out."""
    found: list[str] = []
    for parent, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        relative = os.path.relpath(parent, folder)
        found += [
            os.path.normpath(os.path.join(relative, name))
            for name in names
            if not name.startswith(".") and name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS
        ]
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise MisuseError(f"{error.filename} cannot be listed ({error.strerror}): make it readable")


def _class_names(files: dict[str, list[str]]) -> dict[str, list[str | None]]:
    """The outermost folder of each file, by split; all None where those are no classes."""
    names = {
        split: [file.split(os.sep)[0] if os.sep in file else None for file in found] for split, found in files.items()
    }
    in_training = set(names["train"])
    if None in in_training or len(in_training) < 2:
        return {split: [None] * len(found) for split, found in files.items()}
    return {split: [name if name in in_training else None for name in column] for split, column in names.items()}
