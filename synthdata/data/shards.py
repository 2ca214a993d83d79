"""WebDataset shards on disk: tar files whose members share a key per sample, read in random access."""

import glob
import json
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synthdata.data.config import DataConfig
from synthdata.data.decode import Encoded, UnreadableImageError
from synthdata.data.source import IMAGE_EXTENSIONS, Rows, Source, SourceSplit, index_labels
from synthdata.errors import FailureError, MisuseError


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
    samples = [sample for number, shard in enumerate(shards) for sample in index_shard(number, shard)]
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
    if "://" in pattern or pattern.startswith("pipe:"):
        raise MisuseError(f"wds:{pattern} is not on this machine: download the shards and give their paths")
    path = Path(pattern).expanduser()
    shards = sorted(glob.glob(str(path / "*.tar" if path.is_dir() else path), recursive=True))
    if not shards:
        raise MisuseError(f"wds:{pattern} matches no file: give a pattern such as wds:shards/train-*.tar")
    return shards


def index_shard(number: int, shard: str) -> list[Sample]:
    """The samples of one shard; neighbouring members with the same path up to the name's first dot belong together."""
    size = os.path.getsize(shard)
    samples: list[Sample] = []
    try:
        # "r:" refuses compressed archives, which have no random access.
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                folder, name = os.path.split(info.name)
                stem, dot, suffix = name.partition(".")
                if not info.isfile() or not dot or not stem:
                    continue
                if info.offset_data + info.size > size:
                    raise FailureError(f"shard {shard} is cut off in {info.name}: copy or write it again")
                key = os.path.join(folder, stem)
                if not samples or samples[-1].key != key:
                    samples.append(Sample(number, key))
                samples[-1].members[suffix.lower()] = Member(info.offset_data, info.size)
    except (tarfile.TarError, OSError) as error:
        raise FailureError(
            f"shard {shard} cannot be read as an uncompressed tar file ({error}): unpack or write it again"
        ) from error
    return samples


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
        return int(text) if text.isdecimal() else text
    if (member := sample.members.get("json")) is None:
        return None
    try:
        fields = json.loads(_read(shard, member))
    except ValueError as error:
        raise FailureError(f"shard {shard}: {sample.key}.json is not JSON ({error}): write the shard again") from error
    label = fields.get(named or "label") if isinstance(fields, dict) else None
    return label if label is None or isinstance(label, int) else str(label)


def _read(shard: str, member: Member) -> bytes:
    with open(shard, "rb") as file:
        return os.pread(file.fileno(), member.size, member.offset)
