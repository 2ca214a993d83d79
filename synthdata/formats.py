"""What the files hold that this package writes and reads back, as types for `synthdata.reading`.

A new part of a manifest is one line in ``Plan`` or ``Manifest``, ``NotRequired`` unless every reader needs it; parts
that a type does not name are kept as they are. Any kind of rows fits; what a kind's rows hold is said in
`synthdata.emission.kinds`, and what is told of them is checked in `synthdata.emission.checks`. ``FORMAT`` goes up when
an older version would misread what a newer one writes.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from synthdata.errors import FailureError, MisuseError
from synthdata.reading import UnsoundError, checked, shown

FORMAT = 2
"""The newest of the manifests that this version reads: one that names a table of its shards (`synthdata.manifests`)."""

LISTING_FORMAT = 1
"""Of manifests that list their shards."""

SUFFIXES = {"webdataset": "tar", "parquet": "parquet"}

Count = Annotated[int, Meta(ge=0, le=2**53)]
AtLeastOne = Annotated[int, Meta(ge=1, le=2**53)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
KindName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
Text = Annotated[str, Meta(max_length=4096)]


class PlannedShard(TypedDict):
    """One file of a dataset, as the plan names it; see ``check_shards``."""

    path: Text
    kind: KindName
    first_row: Count
    rows: AtLeastOne


class FinishedShard(PlannedShard):
    bytes: Count
    sha256: Sha256


class Settings(TypedDict):
    """The request; each kind of dataset has more of its own."""

    format: Literal["webdataset", "parquet"]


class MadeWith(TypedDict):
    command: Text
    device: NotRequired[Text]
    versions: dict[str, Text]


class Training(TypedDict):
    """What is told of the training of the encoder and the generator."""

    arm: NotRequired[Text]
    seed: NotRequired[Seed]
    steps: NotRequired[Count]
    images_seen: NotRequired[Count]
    linear_top1: NotRequired[float]
    knn_top1: NotRequired[float]


class Distances(TypedDict):
    frechet_distance: float
    precision: float
    recall: float


class Fidelity(Distances):
    """Distances of generated and of other real images to real ones."""

    images: Count
    real: Distances


class ChangedRows(TypedDict):
    """Rows of a kind that a takedown made anew, and why: a row may have both reasons."""

    kept: Count
    changed: Count
    nearest: Count
    near_copies: Count


class Takedown(TypedDict):
    """That a dataset was made again without images, which are not named."""

    supersedes: Sha256
    scope: Literal["near", "all"]
    method: Text
    generator: NotRequired[Literal["tune", "retrain"]]
    images: Count
    rows: dict[KindName, ChangedRows]


class Plan(TypedDict):
    """What is fixed before the first row is made."""

    settings: Settings
    made_with: MadeWith
    shards: Annotated[Sequence[PlannedShard], Meta(min_length=1)]
    run: NotRequired[dict[str, Any]]
    training: NotRequired[Training]
    criteria: NotRequired[dict[KindName, dict[str, Any]]]
    fidelity: NotRequired[dict[KindName, Fidelity | None]]
    takedown: NotRequired[Takedown]


class KindSummary(TypedDict):
    rows: AtLeastOne
    bytes: Count


class Manifest(Plan):
    shards: Annotated[Sequence[FinishedShard], Meta(min_length=1)]  # type: ignore[misc]
    kinds: dict[KindName, KindSummary]


class RunSource(TypedDict):
    source: Text


class RunTraining(TypedDict):
    temperature: Annotated[float, Meta(gt=0)]


class RunEvaluation(TypedDict):
    labels: NotRequired[list[Count] | None]


class RunGenerator(TypedDict):
    pretrained: NotRequired[Text | None]


class RunTakedown(TypedDict):
    run: Text
    method: Text


class RunConfig(TypedDict):
    """A run's config.yaml, as far as others than its own training read it."""

    data: RunSource | None
    train: RunTraining
    shards: NotRequired[Text | None]
    evaluation: NotRequired[RunEvaluation | None]
    generator: NotRequired[RunGenerator | None]
    emission: NotRequired[dict[str, Any] | None]
    takedown: NotRequired[RunTakedown | None]


class EncoderBefore(TypedDict):
    encoder: dict[str, Sha256]


class ReportedTakedown(TypedDict):
    """What a report tells of the images that were taken down, and of the run that they were taken from."""

    method: Text
    forgotten: Count
    before: EncoderBefore


class Report(Training):
    """A run's report.json; all of it is optional, as kinds of runs differ."""

    method: NotRequired[Text]
    mix: NotRequired[Text]
    device: NotRequired[Text]
    processes: NotRequired[Count]
    wall_seconds: NotRequired[float]
    images_per_second: NotRequired[float]
    takedown: NotRequired[ReportedTakedown]
    versions: NotRequired[dict[str, Text]]


class FinishedReport(Report):
    """The report of a training that is resumed after its end, with what its summary tells."""

    images_per_second: float  # type: ignore[misc]
    wall_seconds: float  # type: ignore[misc]
    device: Text  # type: ignore[misc]
    versions: dict[str, Text]  # type: ignore[misc]


class SamplingSettings(TypedDict):
    sampling_steps: AtLeastOne


class ImageSettings(TypedDict):
    image_size: AtLeastOne
    channels: AtLeastOne


class DenoiserSettings(TypedDict):
    sample_size: AtLeastOne
    out_channels: AtLeastOne


class EncoderSettings(TypedDict):
    """An encoder folder's config.json."""

    backbone: Text
    image_size: Annotated[int, Meta(ge=1, le=4096)]
    channels: Annotated[int, Meta(ge=1, le=64)]
    width: NotRequired[Annotated[int, Meta(ge=1, le=4096)]]
    hidden_dim: NotRequired[Annotated[int, Meta(ge=1, le=2**16)]]
    projection_dim: NotRequired[Annotated[int, Meta(ge=1, le=2**16)]]
    widths: NotRequired[dict[Text, Annotated[int, Meta(ge=1, le=2**16)]] | None]


class ClassifierArchitecture(TypedDict):
    kind: Literal["encoder", "torchvision", "transformers"]


class ClassifierSettings(TypedDict):
    """A classifier folder's config.json."""

    architecture: ClassifierArchitecture
    image_size: Annotated[int, Meta(ge=1, le=4096)]
    channels: Annotated[int, Meta(ge=1, le=64)]
    classes: Annotated[list[Text], Meta(min_length=1)]
    mean: list[float]
    std: list[Annotated[float, Meta(gt=0)]]


class ImageProcessor(TypedDict):
    """A transformers folder's preprocessor_config.json, as far as a classifier needs it."""

    do_normalize: NotRequired[bool]
    image_mean: NotRequired[list[float]]
    image_std: NotRequired[list[Annotated[float, Meta(gt=0)]]]


class DistilRun(TypedDict):
    """The config.yaml of a generator's training from a classifier."""

    classifier: Text


class DistilReport(Report):
    """The report of such a training."""

    class_counts: dict[Text, Count]
    class_entropy: float
    mean_confidence: float


class ModelIndex(TypedDict):
    _class_name: Text


"""A pipeline folder's model_index.json; its parts are beside it, each as the library and the name of its class."""


class MetricsLine(TypedDict):
    """A line of a run's metrics.jsonl; the terms of the losses are beside it."""

    iteration: Count


def shard_path(kind: str, number: int, count: int, file_format: str) -> str:
    """The name of shard ``number`` of ``count``, below the dataset directory, with forward slashes.

    Numbers are of one length, so that names sort as rows do, and brace expansion finds them.
    """
    digits = max(5, len(str(count - 1)))
    return f"data/{kind}/{kind}-{number:0{digits}d}-of-{count:0{digits}d}.{SUFFIXES[file_format]}"


def checked_manifest(tree: Any) -> Manifest:
    """``tree`` as a manifest: shards have their names, and add up to their kinds.

    Raises:
        UnsoundError: it is none.
        MisuseError: it is of a newer format.
    """
    check_format(tree)
    manifest = checked(tree, Manifest)
    check_shards(manifest)
    rows: dict[str, int] = {}
    for shard in manifest["shards"]:
        rows[shard["kind"]] = rows.get(shard["kind"], 0) + shard["rows"]
    told = {kind: summary["rows"] for kind, summary in manifest["kinds"].items()}
    for kind in rows.keys() | told.keys():
        if rows.get(kind) != told.get(kind):
            raise UnsoundError(f"kinds.{kind}.rows is {told.get(kind)}: its shards have {rows.get(kind, 'none')}")
    return manifest


def check_format(tree: Any) -> None:
    """Raise ``MisuseError`` for a manifest that a newer version wrote, with what to install."""
    if not isinstance(tree, dict):
        return
    number = tree.get("format", tree.get("manifest_version", FORMAT))  # format 1 was first told as manifest_version
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UnsoundError(f"format is {shown(number)}: it must be a whole number, at least 1")
    if number > FORMAT:
        raise MisuseError(f"format {shown(number)}, and this version reads {FORMAT}: {_install(tree)}")


def check_shards(plan: Plan | Manifest) -> None:
    """Check that every shard has the path that its kind, its number and the format give, and the rows that follow.

    Raises:
        UnsoundError: naming the first that does not.
    """
    totals: dict[str, int] = {}
    for shard in plan["shards"]:
        totals[shard["kind"]] = totals.get(shard["kind"], 0) + 1
    number, row = dict.fromkeys(totals, 0), dict.fromkeys(totals, 0)
    for position, shard in enumerate(plan["shards"]):
        kind = shard["kind"]
        path = shard_path(kind, number[kind], totals[kind], plan["settings"]["format"])
        if shard["path"] != path:
            raise UnsoundError(f"shards[{position}].path is {shown(shard['path'])}: it must be {path}")
        if shard["first_row"] != row[kind]:
            raise UnsoundError(f"shards[{position}].first_row is {shard['first_row']}: it must be {row[kind]}")
        number[kind] += 1
        row[kind] += shard["rows"]


def _install(tree: dict[str, Any]) -> str:
    try:
        version = tree["made_with"]["versions"]["synthdata"]
    except (KeyError, TypeError):
        version = None
    sound = isinstance(version, str) and re.fullmatch(r"[0-9][0-9a-z.]{0,30}", version)
    return f"pip install 'synthdata>={version}'" if sound else "pip install -U synthdata"


def inside(folder: Path, path: str, whole: bool = True) -> Path:
    """``folder / path``, if links do not lead it out of ``folder``, or out of the cache of the Hub that it is in.

    Args:
        whole: whether ``path`` itself may be no such link either; not for one that is put in its place by a renaming.

    Raises:
        FailureError: they do.
    """
    target = folder / path
    try:
        root, resolved = folder.resolve(), (target if whole else target.parent).resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise FailureError(f"{target} is a link that leads nowhere: remove it") from error
    roots = [root]
    if root.parent.name == "snapshots":  # the Hub's cache keeps the files of a snapshot beside it
        roots.append(root.parents[1] / "blobs")
    if not any(resolved.is_relative_to(root) for root in roots):
        raise FailureError(f"{target} is a link that leads out of the folder, to {resolved}: put a copy in its place")
    return target
