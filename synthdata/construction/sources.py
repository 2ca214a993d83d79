"""From a source's name to its rows: images, and tables of Parquet, CSV, JSON lines or the Hub."""

import json
from dataclasses import replace
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from synthdata.construction.table import Table
from synthdata.data import DataConfig, Pairs, PairsConfig, load_images, load_pairs
from synthdata.data.decode import Encoded
from synthdata.data.hub import DatasetRows, hub_caches, load_splits
from synthdata.data.identity import content_identity, image_identity
from synthdata.data.source import Rows, SourceSplit
from synthdata.data.tree import refuse_irregular
from synthdata.errors import MisuseError
from synthdata.paths import user_path

IMAGES = ("digits", "imagefolder", "wds", "torchvision")
TABLES = ("parquet", "csv", "json")
PAIRS = "pairs"
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}
_KNOWN = (
    "parquet:PATH, csv:PATH, json:PATH, hf:REPO_OR_DIR[:CONFIG], digits, imagefolder:PATH, wds:GLOB, "
    "torchvision:NAME, pairs:DATASET"
)


def open_source(source: str, split: str = "train", image_size: int | None = None, channels: int | None = None) -> Table:
    """The rows of ``source``: its images with their labels, or the columns of its table.

    Args:
        source: an image source as ``data.source`` spells it, ``csv:PATH``, ``json:PATH``, a file's path, or
            ``pairs:DATASET``.
        split: of a table. Of images, the training images are read, as ``contrast`` does.
        image_size: that images are brought to in pixels; as in ``load_images``.
        channels: likewise.

    Raises:
        MisuseError: the source is unknown, missing or empty, or has no such split.
        FailureError: it cannot be read.
    """
    prefix, colon, argument = source.partition(":")
    if prefix == PAIRS:
        return _pairs(source, argument)
    if prefix in IMAGES:
        return _images(DataConfig(source, image_size, channels))  # type: ignore[arg-type]
    if not colon and (suffix := Path(source).suffix.lower()) in _SUFFIXES:
        prefix, argument = _SUFFIXES[suffix], source
    if prefix in TABLES or prefix == "hf":
        rows = _table(source, *_splits(source, prefix, argument), split)
        revision = _revision(argument) if prefix == "hf" else None
        return replace(rows, identity=rows.identity | ({"revision": revision} if revision else {}))
    near = get_close_matches(prefix, [*IMAGES, *TABLES, PAIRS, "hf"], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise MisuseError(f"{source} is a source of no known kind{hint} (known: {_KNOWN})")


def _images(config: DataConfig) -> Table:
    train = load_images(config).train
    columns = {} if train.labels is None else {"label": train.labels.numpy()}
    ids = train.source_indices.numpy()
    return Table(config.source, columns, ids, len(train.source.rows), train.source, image_identity(train.source))


class _PairRows(Rows):
    """The two images of each positive pair of an emitted dataset, one after the other."""

    def __init__(self, pairs: Pairs, source: str) -> None:
        self._pairs, self._source = pairs, source

    def __len__(self) -> int:
        return 2 * len(self._pairs)

    def read(self, row: int) -> Encoded:
        return self._pairs[row // 2][row % 2].permute(1, 2, 0).numpy()

    def name(self, row: int) -> str:
        return f"{self._source} pair {row // 2}"


def _pairs(source: str, dataset: str) -> Table:
    rows = _PairRows(load_pairs(PairsConfig(dataset, "pairs")), source)
    images, numbers = SourceSplit(rows), np.arange(len(rows))
    return Table(source, {"prompt": numbers // 2}, numbers, len(rows), images, image_identity(images))


def _revision(argument: str) -> str | None:
    """The commit of a dataset of the Hub; None of a folder, or where the Hub does not say."""
    if Path(argument).exists():
        return None
    try:
        return HfApi().dataset_info(argument.partition(":")[0]).sha
    except (HfHubHTTPError, OSError, ValueError):
        return None


def _splits(source: str, prefix: str, argument: str) -> tuple[datasets.DatasetDict, list[Path]]:
    """The splits of a table, and the folders where files must lie that its rows name by their paths."""
    if prefix == "hf" and not (argument and user_path(argument).exists()):
        repository, _, name = argument.partition(":")
        return load_splits(source, path=repository, name=name or None), hub_caches()
    path = user_path(argument, f"{prefix}:")
    if path.is_file() and prefix != "hf":
        return load_splits(source, path=prefix, data_files=str(path)), [path.parent]
    if not path.is_dir():
        raise MisuseError(f"{argument} does not exist, or is no file: give a file, or a folder of .{prefix} files")
    refuse_irregular(path, source)
    if prefix == "hf":
        return load_splits(source, path=str(path)), [path, *hub_caches()]
    return load_splits(source, path=prefix, data_dir=str(path)), [path]


def _table(source: str, splits: datasets.DatasetDict, folders: list[Path], split: str) -> Table:
    if split not in splits and len(splits) > 1:
        raise MisuseError(f"{source} has no split {split}, only {', '.join(splits)}: name one with --split")
    rows = splits[split] if split in splits else next(iter(splits.values()))
    if len(rows) == 0:
        raise MisuseError(f"{source} has no rows: give a table that does")
    plain = rows
    for name in (pictures := [name for name, kind in rows.features.items() if isinstance(kind, datasets.Image)]):
        plain = plain.cast_column(name, datasets.Image(decode=False))
    columns = {name: cache(partial(_column, plain, name)) for name in rows.column_names}
    images = SourceSplit(DatasetRows(rows, pictures[0], source, folders)) if pictures else None
    identity = content_identity(len(rows), lambda row: json.dumps(plain[row], sort_keys=True, default=repr).encode())
    if images is not None:
        identity["images_sha256"] = image_identity(images)["sha256"]
    return Table(source, columns, np.arange(len(rows)), len(rows), images, identity, pictures=tuple(pictures))


def _column(rows: datasets.Dataset, name: str) -> Any:
    feature = rows.features[name]
    element = getattr(feature, "feature", feature)
    numeric = isinstance(element, datasets.Value) and element.dtype.startswith(("float", "int", "uint"))
    return rows.with_format("numpy" if numeric else None)[name][:]
