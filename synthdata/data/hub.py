"""Images through the ``datasets`` library: repositories of the Hub, local dataset folders, Parquet files."""

import logging
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import datasets
import torch
from datasets.exceptions import DatasetNotFoundError, DatasetsError
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor

from synthdata.data.config import DataConfig
from synthdata.data.decode import Encoded, UnreadableImageError
from synthdata.data.source import Rows, Source, SourceSplit, index_labels
from synthdata.data.tree import refuse_irregular
from synthdata.errors import FailureError, MisuseError
from synthdata.paths import is_inside, user_path
from synthdata.processes import rank
from synthdata.stores import is_url, open_store

_logger = logging.getLogger(__name__)

_SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
# The base of all errors of huggingface_hub's HTTP client, which is another library from one version to the next.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
_LABEL_NAMES = ("label", "labels", "cls", "class")


class DatasetRows(Rows):
    """The image column of one split, undecoded.

    Args:
        dataset: the split.
        column: that holds the images: encoded, or as paths.
        name: of the split, for messages.
        folders: where files must lie that rows name by their paths; relative ones start at the first.
    """

    def __init__(self, dataset: datasets.Dataset, column: str, name: str, folders: Sequence[Path]):
        narrow = dataset.select_columns([column])
        if isinstance(dataset.features[column], datasets.Image):
            narrow = narrow.cast_column(column, datasets.Image(decode=False))
        self._dataset = narrow
        self._column = column
        self._name = name
        self._folders = list(folders)

    def __len__(self) -> int:
        return len(self._dataset)

    def read(self, row: int) -> Encoded:
        value = self._dataset[row][self._column]
        if not isinstance(value, dict):
            return b"" if value is None else value
        if value.get("bytes"):
            return value["bytes"]
        path = value.get("path")
        return self._inside(path) if isinstance(path, str) and path else b""

    def name(self, row: int) -> str:
        return f"{self._name} row {row}"

    def _inside(self, path: str) -> str:
        if "\0" not in path and any(is_inside(self._folders[0] / path, folder) for folder in self._folders):
            return str(self._folders[0] / path)
        raise UnreadableImageError(f"it names a file outside {self._folders[0]}, {path[:100]!r}, which is not opened")


def open_hf(argument: str, config: DataConfig) -> Source:
    """``REPO_OR_DIR[:CONFIG]``: a dataset repository of the Hub, or a local folder laid out like one."""
    path, _, name = (argument, "", "") if argument and user_path(argument).exists() else argument.rpartition(":")
    path, name = (path, name) if path else (name or argument, "")
    if not path:
        raise MisuseError("data.source hf: names no dataset; write hf:REPO_OR_DIR[:CONFIG]")
    folder = user_path(path, "hf:")
    if folder.is_file():
        raise MisuseError(
            f"{path} is a file: give a folder or a repository, or write parquet:{path} for a Parquet file"
        )
    if not folder.exists() and (path[0] in "./~" or path.count("/") > 1):
        raise MisuseError(f"{path} does not exist: give a dataset folder, or a repository of the Hub as OWNER/NAME")
    if not folder.is_dir():
        return _from_datasets(f"hf:{argument}", config, hub_caches(), path=path, name=name or None)
    refuse_irregular(folder, f"hf:{argument}")
    return _from_datasets(f"hf:{argument}", config, [folder, *hub_caches()], path=str(folder), name=name or None)


def open_parquet(argument: str, config: DataConfig) -> Source:
    """``PATH``: a Parquet file, or a folder of them with the split in the file name (train-*, validation-*, test-*)."""
    source = f"parquet:{argument}"
    if is_url(argument):
        return _from_datasets(source, config, hub_caches(), path="parquet", data_files=_stored_parquet(argument))
    path = user_path(argument, "parquet:") if argument else Path()
    if argument and path.is_dir():
        if not any(path.rglob("*.parquet")):
            raise MisuseError(f"{argument} holds no .parquet file: give a folder of Parquet files, or one file")
        refuse_irregular(path, source)
        return _from_datasets(source, config, [path], path="parquet", data_dir=str(path))
    if path.is_file():
        return _from_datasets(source, config, [path.parent], path="parquet", data_files={"train": str(path)})
    raise MisuseError(f"{argument or source} does not exist, or is no file: give a Parquet file or a folder of them")


def _stored_parquet(url: str) -> dict[str, list[str]]:
    """The Parquet files of an object store, by the split in their names."""
    folder, _, name = url.rstrip("/").rpartition("/")
    single = name.endswith(".parquet")
    store = open_store(folder if single else url)
    found = [path for path in sorted(store.list("")) if (path == name if single else path.endswith(".parquet"))]
    if not found:
        raise MisuseError(f"{url} holds no .parquet file: give a folder of Parquet files, or one file")
    files: dict[str, list[str]] = {}
    for path in found:
        words = re.split(r"[^a-z]+", path.rpartition("/")[2].lower())
        split = "train" if single else next((_SPLIT_NAMES[word] for word in words if word in _SPLIT_NAMES), "train")
        files.setdefault(split, []).append(f"{store}/{path}")
    return files


def hub_caches() -> list[Path]:
    """Where files of the Hub, and those that were packed in archives, lie on this machine."""
    return [Path(datasets.config.HF_DATASETS_CACHE), Path(HF_HUB_CACHE)]


def _from_datasets(source: str, config: DataConfig, folders: Sequence[Path], **arguments: Any) -> Source:
    by_name = _by_split(source, load_splits(source, **arguments))
    features = by_name["train"].features
    image_column = _image_column(source, features, config.image_column)
    label_column = _label_column(source, features, config.label_column)
    labels, classes = _labels(by_name, label_column)
    splits = {
        name: SourceSplit(DatasetRows(dataset, image_column, f"{source} {name}", folders), labels[name])
        for name, dataset in by_name.items()
        if len(dataset) > 0
    }
    return Source(splits, classes)


def load_splits(source: str, **arguments: Any) -> datasets.DatasetDict:
    """All splits that ``datasets.load_dataset`` finds.

    Args:
        source: as it was given, for messages.

    Raises:
        MisuseError: there is no such dataset, or it cannot be used.
        FailureError: it cannot be read, or the Hub does not answer.
    """
    try:
        return datasets.load_dataset(**arguments)
    except DatasetNotFoundError as error:
        raise MisuseError(
            f"{source} is neither a local folder nor a dataset of the Hub that you can read: {error}"
        ) from error
    except (_HTTP_ERROR, ConnectionError) as error:
        raise FailureError(f"{source}: the Hub does not answer ({error}); check the network and try again") from error
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise MisuseError(f"{source} cannot be loaded: {error}") from error
    except (DatasetsError, OSError) as error:
        raise FailureError(
            f"{source} cannot be read ({error.__cause__ or error}): is a file empty or damaged?"
        ) from error


def _by_split(source: str, loaded: datasets.DatasetDict) -> dict[str, datasets.Dataset]:
    by_name = {_SPLIT_NAMES[name]: dataset for name, dataset in loaded.items() if name in _SPLIT_NAMES}
    if "train" not in by_name and len(loaded) == 1:
        by_name = {"train": next(iter(loaded.values()))}
    if "train" not in by_name:
        raise MisuseError(f"{source} has no train split, only {', '.join(loaded)}: name one of them train")
    if (left_out := loaded.keys() - {name for name in loaded if loaded[name] in by_name.values()}) and rank() == 0:
        _logger.warning("%s: its splits %s are left out", source, ", ".join(sorted(map(str, left_out))))
    return by_name


def _image_column(source: str, features: datasets.Features, named: str | None) -> str:
    typed = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    candidates = typed or [name for name, feature in features.items() if _holds_bytes(feature)]
    if named is not None:
        _check_column(source, features, "data.image_column", named)
        if named not in candidates and not _holds_bytes(features[named]):
            raise MisuseError(f"data.image_column {named} of {source} holds {features[named]}, not images")
        return named
    if not candidates:
        raise MisuseError(f"{source} has no image column among {', '.join(features)}: name one with data.image_column")
    if len(candidates) > 1:
        raise MisuseError(
            f"{source} has several image columns: choose one of {', '.join(candidates)} with data.image_column"
        )
    return candidates[0]


def _holds_bytes(feature: Any) -> bool:
    """Encoded images without the ``Image`` feature's metadata: binary, or a struct with binary ``bytes``."""
    if isinstance(feature, dict):
        return _holds_bytes(feature.get("bytes"))
    return isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary")


def _label_column(source: str, features: datasets.Features, named: str | None) -> str | None:
    if named is not None:
        _check_column(source, features, "data.label_column", named)
        if not _holds_labels(features[named]):
            raise MisuseError(f"data.label_column {named} of {source} holds {features[named]}, not labels")
        return named
    typed = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    if len(typed) > 1:
        raise MisuseError(
            f"{source} has several label columns: choose one of {', '.join(typed)} with data.label_column"
        )
    if typed:
        return typed[0]
    return next((name for name in _LABEL_NAMES if _holds_labels(features.get(name))), None)


def _holds_labels(feature: Any) -> bool:
    if isinstance(feature, datasets.Value):
        return feature.dtype.startswith(("int", "uint", "string", "large_string", "bool"))
    return isinstance(feature, datasets.ClassLabel)


def _check_column(source: str, features: datasets.Features, flag: str, named: str) -> None:
    if named not in features:
        near = get_close_matches(named, features, n=1)
        hint = f"did you mean {near[0]}?" if near else "choose one of them"
        raise MisuseError(f"{flag} {named} is no column of {source}, which has {', '.join(features)}: {hint}")


def _labels(
    by_name: dict[str, datasets.Dataset], column: str | None
) -> tuple[dict[str, Tensor | None], list[str] | None]:
    present = {name: dataset for name, dataset in by_name.items() if column in dataset.features}
    without: dict[str, Tensor | None] = dict.fromkeys(by_name)
    if column is None:
        return without, None
    feature = by_name["train"].features[column]
    raw = {name: list(dataset[column]) for name, dataset in present.items()}
    if not isinstance(feature, datasets.ClassLabel):
        labels, classes = index_labels(raw)
        return without | labels, classes
    # A hidden label, as competitions have in their test split, is stored as -1 or missing.
    numbers = {name: torch.tensor([-1 if label is None else label for label in column]) for name, column in raw.items()}
    return without | {name: label if (label >= 0).any() else None for name, label in numbers.items()}, list(
        feature.names
    )
