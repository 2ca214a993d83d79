"""What plans, manifests and records tell of the kinds of rows that this version knows, checked as they are read.

A kind needs an entry in `synthdata.emission.kinds`, and nothing here: one that is not among ``_SAMPLED`` may tell of
its origin and its criteria what it likes, and one whose rows have no score is not looked into.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypedDict, TypeVar

from msgspec import Meta

from synthdata import formats
from synthdata.emission.kinds import CANDIDATES, KINDS
from synthdata.errors import MisuseError
from synthdata.formats import AtLeastOne, Count, FinishedShard, KindName, KindSummary, Seed, Settings, Sha256, Text
from synthdata.reading import UnsoundError, checked, shown

_SAMPLED = ("hard", "pairs")
"""Kinds whose rows are a run's samples: the card tells which run's, and what they were chosen by."""

T = TypeVar("T")


class ColumnTally(TypedDict):
    """Of one shard: whole units of the last decimal, summed, and counts in bins."""

    units: int
    count: AtLeastOne
    min: float
    max: float
    histogram: list[Count]


class ShardTally(TypedDict):
    candidates: Count
    dropped: dict[str, Count]
    columns: dict[str, ColumnTally]


class Record(FinishedShard):
    """What is noted of a finished shard of selected rows until the manifest is written."""

    summary: ShardTally


class Source(TypedDict):
    data: Text
    images: Count
    image_size: AtLeastOne
    channels: AtLeastOne


class Model(TypedDict("_Model", {"class": Text})):
    sha256: dict[str, Sha256]


class RunIdentity(TypedDict):
    encoder: Model
    generator: Model
    source: Source
    temperature: float


class Criteria(TypedDict):
    """The rules of one kind of selected rows; see `synthdata.emission.criteria`."""

    kind: KindName
    seed: Seed
    oversample: Annotated[int, Meta(ge=1, le=64)]
    band: tuple[float, float]
    realism_floor: float
    copy_distance: float
    edges: dict[str, list[float]]


class Column(TypedDict):
    mean: float
    min: float
    max: float
    histogram: list[Count]
    edges: list[float]


class SelectedSummary(KindSummary):
    candidates: AtLeastOne
    dropped: dict[str, Count]
    columns: dict[str, Column]


class SelectedSettings(Settings):
    """What the card tells of the request for selected rows."""

    seed: Seed
    image_format: Literal["png", "webp", "jpeg"]
    quality: int
    license: Text | None
    memorisation_quantile: float


class Edges(TypedDict):
    edges: dict[str, list[float]]


def checked_plan(tree: Any) -> formats.Plan:
    """``tree`` as a plan whose shards have the names that a plan gives, and whose known kinds have their criteria.

    Raises:
        UnsoundError: it is none.
    """
    plan = checked(tree, formats.Plan)
    formats.check_shards(plan)
    _check_criteria(plan)
    return plan


def checked_manifest(tree: Any) -> formats.Manifest:
    """``tree`` as a manifest that also tells of its known kinds what the card tells.

    Raises:
        UnsoundError: it is none.
        MisuseError: it is of a newer format.
    """
    manifest = formats.checked_manifest(tree)
    _check_criteria(manifest)
    for kind in _scored(manifest):
        summary = _part(manifest, SelectedSummary, "kinds", kind)
        if kind in _SAMPLED and "memorised" not in summary["dropped"]:
            raise UnsoundError(f"no kinds.{kind}.dropped.memorised")
        for name in (*manifest["criteria"][kind]["edges"], CANDIDATES):
            _check_column(summary["columns"].get(name), f"kinds.{kind}.columns.{name}")
    return manifest


def checked_record(tree: Any, planned: Mapping[str, Any], edges: Mapping[str, list[float]]) -> Record:
    """``tree`` as the record of the shard ``planned``, whose columns are counted between ``edges``.

    Raises:
        UnsoundError: it is that of another shard, or none.
    """
    record = checked(tree, Record)
    for name in formats.PlannedShard.__annotations__:
        if tree[name] != planned[name]:
            raise UnsoundError(f"{name} is {shown(tree[name])}: the plan has {shown(planned[name])}")
    bins = {name: len(each) - 1 for name, each in edges.items()}
    if score := _score(planned["kind"]):
        bins[CANDIDATES] = bins[score]
    for name, count in bins.items():
        if name not in record["summary"]["columns"]:
            raise UnsoundError(f"no summary.columns.{name}")
        if (found := len(record["summary"]["columns"][name]["histogram"])) != count:
            raise UnsoundError(f"summary.columns.{name}.histogram has {found} bins: the plan has {count}")
    return record


def check_known(kinds: Iterable[str], folder: object) -> None:
    """Raise ``MisuseError`` for a kind of rows that this version does not know."""
    for kind in kinds:
        if kind not in KINDS:
            raise MisuseError(
                f"{folder} has rows of the kind {kind}, and this version knows {', '.join(KINDS)}: pip install -U "
                "synthdata"
            )


def _check_criteria(plan: formats.Plan | formats.Manifest) -> None:
    kinds = _scored(plan)
    if any(kind in _SAMPLED for kind in kinds):
        _part(plan, RunIdentity, "run")
        _part(plan, SelectedSettings, "settings")
    for kind in kinds:
        edges = _part(plan, Edges, "criteria", kind)["edges"]
        if kind in _SAMPLED and (found := _part(plan, Criteria, "criteria", kind)["kind"]) != kind:
            raise UnsoundError(f"criteria.{kind}.kind is {shown(found)}: it must be {kind}")
        for name in {_score(kind)} | ({"realism", "nearest_similarity"} if kind in _SAMPLED else set()):
            if name not in edges:
                raise UnsoundError(f"no criteria.{kind}.edges.{name}")
        for name, each in edges.items():
            _check_edges(each, f"criteria.{kind}.edges.{name}")


def _scored(plan: formats.Plan | formats.Manifest) -> list[str]:
    """The known kinds whose rows were chosen by a score."""
    kinds = dict.fromkeys(shard["kind"] for shard in plan["shards"])
    return [kind for kind in kinds if kind in KINDS and _score(kind)]


def _score(kind: str) -> str:
    return next(declared.score for name, declared in KINDS.items() if name == kind)


def _check_column(column: Column | None, place: str) -> None:
    if column is None:
        raise UnsoundError(f"no {place}")
    _check_edges(column["edges"], f"{place}.edges")
    if len(column["histogram"]) != len(column["edges"]) - 1 or not any(column["histogram"]):
        raise UnsoundError(f"{place}.histogram must have a count between any two edges, and not zeros alone")


def _check_edges(edges: list[float], place: str) -> None:
    if len(edges) < 2 or any(low >= high for low, high in itertools.pairwise(edges)):
        raise UnsoundError(f"{place} is {shown(edges)}: it must be a list of rising numbers")


def _part(tree: Any, kind: type[T], *keys: str) -> T:
    """The part of ``tree`` below ``keys`` as a ``kind``."""
    value = tree
    for position, key in enumerate(keys, 1):
        if key not in value:
            raise UnsoundError(f"no {'.'.join(keys[:position])}")
        value = value[key]
    return checked(value, kind, ".".join(keys))
