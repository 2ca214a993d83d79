"""WebDataset shards on disk: tar files whose members share a key per sample, read in random access."""

import glob
import json
import logging
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from fsspec.utils import glob_translate

from synthdata.data.config import DataConfig
from synthdata.data.decode import Encoded, UnreadableImageError
from synthdata.data.source import IMAGE_EXTENSIONS, Rows, Source, SourceSplit, index_labels
from synthdata.errors import FailureError, MisuseError
from synthdata.paths import open_regular, user_path
from synthdata.processes import rank
from synthdata.stores import is_url, open_store

_logger = logging.getLogger(__name__)

_LONGEST_NUMBER = 18
"""Digits of a label that is a number; what has more is a name."""


@dataclass(frozen=True)
class Member:
    """Where a file lies inside its shard, in bytes."""

    offset: int
    size: int


@dataclass
class Sample:
    """The members of one key, by suffix (``png``, ``a.png``, ``json``)."""

    shard: int
    key: str
    members: dict[str, Member] = field(default_factory=dict)


class ShardRows(Rows):
    """One image per sample, by its place in the shards: (N, 3) int64 of shard, offset and size."""

    def __init__(self, shards: list[str], places: np.ndarray, keys: list[str]):
        self._shards = shards
        self._places = places
        self._keys = keys

    def __len__(self) -> int:
        return len(self._places)

    def read(self, row: int) -> Encoded:
        shard, offset, size = self._places[row].tolist()
        try:
            return _read(self._shards[shard], Member(offset, size))
        except OSError as error:
            raise UnreadableImageError(str(error)) from error

    def name(self, row: int) -> str:
        return f"{self._shards[self._places[row, 0]]} sample {self._keys[row]}"


def open_shards(argument: str, config: DataConfig) -> Source:
    """The samples of all tar files that the pattern ``argument`` matches, in the order of the sorted shards.

    A sample's image is its first image member in name order, or the one whose suffix is ``config.image_column``. Its
    label is its ``cls`` member, or the field ``config.label_column`` (by default ``label``) of its ``json`` member.
    """
    shards = _find_shards(argument)
    samples = [
        sample for number, shard in enumerate(shards) for sample in _samples(number, shard, config.on_corrupt == "skip")
    ]
    suffixes = [_image_suffix(sample, config.image_column) for sample in samples]
    with_image = [(sample, suffix) for sample, suffix in zip(samples, suffixes, strict=True) if suffix is not None]
    if not with_image:
        raise MisuseError(_no_images(argument, samples, config.image_column))
    places = np.array([(s.shard, s.members[suffix].offset, s.members[suffix].size) for s, suffix in with_image])
    raw = [_label(shards[sample.shard], sample, config.label_column) for sample, _ in with_image]
    if config.label_column is not None and all(label is None for label in raw):
        raise MisuseError(f"data.label_column {config.label_column} is in no sample of wds:{argument}: check its name")
    labels, classes = index_labels({"train": raw})
    rows = ShardRows(shards, places.astype(np.int64), [sample.key for sample, _ in with_image])
    return Source({"train": SourceSplit(rows, labels["train"])}, classes)


def _find_shards(pattern: str) -> list[str]:
    if is_url(pattern):
        return _fetched_shards(pattern)
    if pattern.startswith("pipe:"):
        raise MisuseError(f"wds:{pattern} is not on this machine: download the shards and give their paths")
    path = user_path(pattern, "wds:") if pattern else Path()
    pattern = str(path / "*.tar" if path.is_dir() else path)
    # Of the two, pathlib's ** alone does not follow links, which may lead in circles.
    matches = map(str, _below(pattern)) if "**" in pattern else glob.iglob(pattern)
    shards: dict[tuple[int, int], str] = {}
    for match in sorted(matches):
        try:
            status = os.stat(match)
        except OSError as error:
            raise FailureError(f"shard {match} cannot be read ({error.strerror}): restore or remove it") from error
        if not stat.S_ISREG(status.st_mode):
            raise MisuseError(f"shard {match} is no regular file: name a pattern that matches tar files alone")
        first = shards.setdefault((status.st_dev, status.st_ino), match)
        if first != match and rank() == 0:
            _logger.warning("shard %s is %s by another name: it is left out", match, first)
    if not shards:
        raise MisuseError(f"wds:{pattern} matches no file: give a pattern such as wds:shards/train-*.tar")
    return list(shards.values())


def _fetched_shards(pattern: str) -> list[str]:
    """The shards of an object store, on this machine until the program ends."""
    folder, glob_pattern = pattern.rstrip("/"), "*.tar"
    if glob.has_magic(folder) or folder.endswith(".tar"):
        parts = folder.split("/")
        fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
        folder, glob_pattern = "/".join(parts[:fixed]), "/".join(parts[fixed:])
    store, wanted = open_store(folder), re.compile(glob_translate(glob_pattern))
    matches = (path for path in sorted(store.list("")) if wanted.match(path))
    shards = [str(store.keep(path)) for path in matches]
    if not shards:
        raise MisuseError(f"wds:{pattern} matches no file: give a pattern such as wds:{folder}/train-*.tar")
    return shards


def _below(pattern: str) -> Iterator[Path]:
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    for path in root.glob(os.path.join(*parts[fixed:])):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts):
            yield path


def _samples(number: int, shard: str, skip: bool) -> list[Sample]:
    """The samples of one shard; of a damaged one those before the damage, if it may be skipped."""
    samples: list[Sample] = []
    try:
        samples.extend(read_samples(number, shard))  # keeps those before an error
    except FailureError as error:
        if not skip:
            raise FailureError(f"{error}, or leave the rest of it out with --data.on_corrupt skip") from error
        if rank() == 0:
            _logger.warning("%s: what follows its first %s samples is left out", error, f"{len(samples):,}")
    return samples


def read_samples(number: int, shard: str) -> Iterator[Sample]:
    """The samples of one shard; neighbouring members with the same path up to the name's first dot belong together.

    Raises:
        FailureError: the file is no uncompressed tar file, or is damaged or cut off; the samples before are sound.
    """
    sample: Sample | None = None
    for name, member in _members(shard):
        folder, base = os.path.split(name)
        stem, dot, suffix = base.partition(".")
        if not dot or not stem:
            continue
        key = os.path.join(folder, stem)
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = Sample(number, key)
        sample.members[suffix.lower()] = member
    if sample is not None:
        yield sample


def _members(shard: str) -> Iterator[tuple[str, Member]]:
    """The files inside one shard and where they are, to the mark that ends every tar file."""
    try:
        # "r:" refuses compressed archives, which have no random access.
        with open_regular(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            size, end = os.fstat(file.fileno()).st_size, 0
            for info in archive:
                if info.size < 0 or info.offset < end:  # which would be read in circles
                    raise FailureError(f"shard {shard} is damaged at {info.name!r}: copy or write it again")
                if info.offset_data + (info.size if info.isfile() else 0) > size:
                    raise FailureError(f"shard {shard} is cut off in {info.name!r}: copy or write it again")
                end = info.offset_data
                if info.issparse():
                    raise FailureError(f"shard {shard} holds {info.name!r} with holes: write it again without --sparse")
                if info.isfile():
                    yield info.name, Member(info.offset_data, info.size)
            _check_end(shard, file, archive.offset)  # type: ignore[attr-defined]
    except FailureError:
        raise
    except (tarfile.TarError, OSError, ValueError, ArithmeticError, RecursionError) as error:  # of nonsense in headers
        raise FailureError(
            f"shard {shard} cannot be read as an uncompressed tar file ({error}): unpack or write it again"
        ) from error


def _check_end(shard: str, file: BinaryIO, offset: int) -> None:
    """Tell a tar file's end from a header that is damaged or missing, at which ``tarfile`` stops in the same way."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise FailureError(f"shard {shard} is cut off, it has no end mark: copy or write it again")
    while block:
        if block.strip(b"\0"):
            raise FailureError(f"shard {shard} is damaged at byte {offset:,} or before: copy or write it again")
        offset, block = offset + len(block), file.read(1 << 20)


def _image_suffix(sample: Sample, named: str | None) -> str | None:
    if named is not None:
        return named.lower() if named.lower() in sample.members else None
    return min((suffix for suffix in sample.members if suffix.rpartition(".")[2] in IMAGE_EXTENSIONS), default=None)


def _no_images(pattern: str, samples: list[Sample], named: str | None) -> str:
    suffixes = sorted({suffix for sample in samples for suffix in sample.members})
    looked_for = f"with the suffix {named} (data.image_column)" if named else "of a known image type"
    return f"wds:{pattern} holds no member {looked_for}, only {', '.join(suffixes) or 'no files'}: give other shards"


def _label(shard: str, sample: Sample, named: str | None) -> int | str | None:
    if named is None and (member := sample.members.get("cls")):
        text = _read(shard, member).decode(errors="replace").strip()
        return int(text) if text.isdecimal() and len(text) <= _LONGEST_NUMBER else text
    if (member := sample.members.get("json")) is None:
        return None
    try:
        fields = json.loads(_read(shard, member))
    except (ValueError, RecursionError) as error:
        raise FailureError(f"shard {shard}: {sample.key}.json is not JSON ({error}): write the shard again") from error
    label = fields.get(named or "label") if isinstance(fields, dict) else None
    return label if label is None or (isinstance(label, int) and abs(label) < 10**_LONGEST_NUMBER) else str(label)


def _read(shard: str, member: Member) -> bytes:
    with open_regular(shard) as file:
        return os.pread(file.fileno(), member.size, member.offset)
