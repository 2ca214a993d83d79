"""Writing a dataset directory from beginning to end, or from where it was interrupted, whatever makes its rows."""

import contextlib
import json
import os
import platform
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

import synthdata
from synthdata.emission.config import DatasetConfig
from synthdata.emission.files import disk_errors
from synthdata.emission.kinds import Kind, Row
from synthdata.emission.manifest import (
    MANIFEST,
    PLAN,
    WORK,
    Plan,
    begin,
    check_same,
    finish_dataset,
    read_plan,
    record,
    recorded,
)
from synthdata.emission.plan import Shard, plan_shards, shards_of
from synthdata.emission.shards import ShardWriter
from synthdata.emission.verify import shard_problem
from synthdata.errors import MisuseError
from synthdata.processes import rank, world_size

_NOT_SETTINGS = ("run", "output", "batch_size", "worker", "workers", "page")
_RECORDED_VERSIONS = ("torch", "torchvision", "diffusers", "datasets", "pillow", "pyarrow", "numpy")


class RowMaker(Protocol):
    """Where a dataset's rows come from: each is a function of the settings, its index and what ``identity`` names."""

    @property
    def identity(self) -> dict[str, Any]:
        """JSON-ready: two makers that could give different rows have different ones."""

    @property
    def device(self) -> str:
        """What computes, such as "cpu"."""

    def measure(self) -> dict[str, Any]:
        """What a new plan records beside settings, identity and shards.

        It has ``criteria``: by kind, at least ``edges``, the edges of the histogram of every column that is counted.
        """

    def prepare(self) -> None:
        """Compute what all rows need; called once, before the first row is made."""

    def make(self, kind: Kind, criteria: dict[str, Any], shards: Sequence[Shard]) -> Iterator[list[Row]]:
        """Blocks of rows in order, all those of ``shards``, of one kind, among them; others are skipped."""


@dataclass(frozen=True)
class Emission:
    """What one process did for a dataset.

    Attributes:
        folder: the dataset directory.
        manifest: of the finished dataset; None while other processes are still at work on it, or if another has just
            finished it.
        rows: rows that this process made.
        kept: rows of finished shards that it found and kept.
        seconds: wall time of making rows, without the preparation.
        processes: of the launcher.
        tells: whether this is the one of these processes that tells of the work of all.
    """

    folder: Path
    manifest: dict[str, Any] | None
    rows: int
    kept: int
    seconds: float
    processes: int = 1
    tells: bool = True


def write_dataset(maker: RowMaker, config: DatasetConfig, rows: Mapping[Kind, int], program: str) -> Emission:
    """Write ``rows`` of each kind as a dataset directory, or complete an interrupted one.

    Under a launcher, or as one of ``config.workers``, a process makes its share of the shards without talking to the
    others; the last one to finish writes the manifest.

    Args:
        program: what was called, as the card tells it, such as ``accelerate launch recipes/emit.py``.

    Raises:
        MisuseError: an output that cannot be written or holds something else.
        FailureError: the disk is full, or rows find no acceptable candidate; finished shards are kept.
    """
    folder = Path(config.output)
    plan = _open_plan(maker, config, {kind: count for kind, count in rows.items() if count}, program)
    is_begun = (folder / WORK / PLAN).exists()
    own = shards_of(*_process(config), [Shard(**shard) for shard in plan["shards"]])
    missing = _unfinished(folder, own)
    made, kept = (sum(shard.rows for shard in shards) for shards in (missing, set(own) - set(missing)))
    if missing:
        maker.prepare()
    started = time.perf_counter()
    if missing:
        with tqdm(total=made + kept, initial=kept, unit="row", desc=str(folder), disable=rank() != 0) as progress:
            _make(missing, plan, ShardWriter(config, _expected(folder), progress), maker)
    seconds = time.perf_counter() - started
    manifest = _finish_if_complete(folder, is_begun)
    # of a dataset that was finished before, every process has the manifest; of others, the one that finishes it
    tells = world_size() == 1 or (manifest is not None and (is_begun or rank() == 0))
    return Emission(folder, manifest, made, kept, seconds, world_size(), tells)


def check_output(folder: Path) -> None:
    """Refuse to write among files that no emission has put there.

    Raises:
        MisuseError: naming one of them.
    """
    with disk_errors(folder):
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if foreign := names - {WORK}:
        begun = (folder / WORK / PLAN).exists() or (folder / MANIFEST).exists()
        if not begun:
            raise MisuseError(f"{folder} holds other files ({min(foreign)}): choose another --output, or empty it")


def _open_plan(maker: RowMaker, config: DatasetConfig, rows: Mapping[Kind, int], program: str) -> Plan:
    """The plan that the dataset directory was begun with, or a new one."""
    folder = Path(config.output)
    settings = {name: value for name, value in asdict(config).items() if name not in _NOT_SETTINGS}
    settings = json.loads(json.dumps(settings))  # as a plan that was read back has them
    plan = read_plan(folder)
    if plan is None:
        with disk_errors(folder):
            (folder / WORK).mkdir(parents=True, exist_ok=True)
        new: Plan = {
            "settings": settings,
            "run": maker.identity,
            **maker.measure(),
            "made_with": {"command": _command(config, program), "device": maker.device, "versions": _versions()},
            "shards": [
                asdict(shard)
                for kind, count in rows.items()
                for shard in plan_shards(kind, count, config.shard_size, config.format)
            ],
        }
        with disk_errors(folder):
            plan = begin(folder, new)
    check_same(folder, plan, settings, maker.identity)
    return plan


def _make(shards: Sequence[Shard], plan: Plan, writer: ShardWriter, maker: RowMaker) -> None:
    folder = Path(writer.config.output)
    with disk_errors(folder):
        (folder / WORK).mkdir(exist_ok=True)
        for kind, criteria in plan["criteria"].items():
            of_kind = [shard for shard in shards if shard.kind == kind]
            for made in writer.write(of_kind, criteria["edges"], maker.make(kind, criteria, of_kind)):
                if not writer.expected:
                    record(folder, made)


def _unfinished(folder: Path, shards: Sequence[Shard]) -> list[Shard]:
    """Those of ``shards`` that are not on the disk as they were recorded."""
    records = recorded(folder)

    def is_unfinished(shard: Shard) -> bool:
        return shard.path not in records or shard_problem(folder, records[shard.path]) is not None

    with ThreadPoolExecutor() as pool:
        return list(compress(shards, pool.map(is_unfinished, shards)))


def _expected(folder: Path) -> dict[str, str]:
    """Of a finished dataset, the sha256 of every shard."""
    if not (folder / MANIFEST).exists():
        return {}
    return {path: shard["sha256"] for path, shard in recorded(folder).items()}


def _finish_if_complete(folder: Path, is_begun: bool) -> dict[str, Any] | None:
    if (folder / WORK / PLAN).exists():
        plan = read_plan(folder)
        complete = plan is not None and recorded(folder).keys() >= {shard["path"] for shard in plan["shards"]}
        return finish_dataset(folder) if complete else None
    if is_begun:
        return None  # another process finished it in the meantime
    with contextlib.suppress(OSError):  # left by a restored shard, unless another process is at work in it
        (folder / WORK).rmdir()
    return finish_dataset(folder) if (folder / MANIFEST).exists() else None


def _process(config: DatasetConfig) -> tuple[int, int]:
    """The number of this process and how many there are, over the job array and the launcher."""
    return config.worker * world_size() + rank(), config.workers * world_size()


def _command(config: DatasetConfig, program: str) -> str:
    """The command that repeats the emission, without paths that lead out of the working directory."""
    flags, common = [], {field.name for field in fields(DatasetConfig)}
    for field in sorted(fields(config), key=lambda field: (field.name not in ("run", "output"), field.name in common)):
        value = getattr(config, field.name)
        if field.name in ("batch_size", "worker", "workers", "page") or value == field.default:
            continue
        if field.name in ("run", "output"):
            relative = os.path.relpath(value)
            value = Path(value).name if relative.startswith("..") else relative
        flags.append(f"--{field.name} {shlex.quote(str(list(value) if isinstance(value, tuple) else value))}")
    return " ".join([program, *flags])


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in _RECORDED_VERSIONS}
    return {"synthdata": synthdata.__version__, "python": platform.python_version(), **libraries}


def summary(emission: Emission) -> str:
    """What was made, what was dropped and where it is, for a person to read, by the process that tells it."""
    rate = emission.rows / max(emission.seconds, 1e-9)
    lines = [f"{emission.rows:,} rows made in {emission.seconds:.1f} s ({rate:,.0f} rows/s), {emission.kept:,} kept"]
    if emission.manifest is None:
        return f"{lines[0]}; {emission.folder} is completed by the last process to finish"
    if emission.processes > 1:
        rows = sum(counts["rows"] for counts in emission.manifest["kinds"].values())
        lines = [f"{rows:,} rows made or kept by {emission.processes} processes, the last in {emission.seconds:.1f} s"]
    for kind, counts in emission.manifest["kinds"].items():
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in counts["dropped"].items())
        shards = sum(shard["kind"] == kind for shard in emission.manifest["shards"])
        lines += [
            f"{kind}: {counts['rows']:,} rows in {shards} shards, {counts['bytes']:,} bytes; "
            f"{counts['candidates']:,} candidates, dropped: {dropped}",
            f'  load_dataset("{emission.folder}", "{kind}", split="train")',
        ]
    return "\n".join([*lines, f"The dataset is in {emission.folder}"])
