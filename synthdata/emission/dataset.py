"""Writing a dataset directory from beginning to end, or from where it was interrupted, whatever makes its rows."""

import contextlib
import json
import os
import platform
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, asdict, dataclass, fields
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from typing import Any, Protocol

from datasets import Features
from tqdm import tqdm

import synthdata
from synthdata.claims import claimed, owner, refusal
from synthdata.emission.config import DatasetConfig
from synthdata.emission.files import disk_errors
from synthdata.emission.kinds import Kind, Row
from synthdata.emission.manifest import (
    MANIFEST,
    PLAN,
    WORK,
    Plan,
    Record,
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
from synthdata.errors import FailureError, MisuseError
from synthdata.formats import inside
from synthdata.processes import rank, world_size

_CLAIM = re.compile(r"(\d{1,9})-of-(\d{1,9})\.claim")
_PATHS = ("run", "output", "source", "encoder", "graph", "truth")
_HOW = ("batch_size", "worker", "workers", "engine", "engine_address", "engine_gpus", "page")
"""Settings that change where and how fast rows are made, and none of them."""
_RECORDED_VERSIONS = ("torch", "torchvision", "diffusers", "datasets", "pillow", "pyarrow", "numpy")


Engine = Callable[[Plan, Sequence[Shard], dict[str, str], tqdm], Iterator[Record]]
"""Makes shards of a plan elsewhere, in any order, and yields the record of each; the sha256 of those that must come out
as they were, by path, and the bar of rows come with them."""


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

    def features(self, kind: Kind) -> Features:
        """The columns of a Parquet file."""

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


def write_dataset(
    maker: RowMaker,
    config: DatasetConfig,
    rows: Mapping[Kind, int],
    program: str,
    told: Any = None,
    engine: Engine | None = None,
) -> Emission:
    """Write ``rows`` of each kind as a dataset directory, or complete an interrupted one.

    Under a launcher, or as one of ``config.workers``, a process makes its share of the shards without talking to the
    others; the last one to finish writes the manifest.

    Args:
        program: what was called, as the card tells it, such as ``accelerate launch recipes/emit.py``.
        told: the settings that the card tells beside it, a dataclass; those of ``config`` if not given.
        engine: what makes the shards; this process if not given.

    Raises:
        MisuseError: an output that cannot be written or holds something else.
        FailureError: the disk is full, or rows find no acceptable candidate; finished shards are kept.
    """
    folder = Path(config.output)
    with contextlib.ExitStack() as claims:
        if not (folder / MANIFEST).exists():
            claims.enter_context(_claimed(config, rows))
        command = _command(config if told is None else told, program)
        plan = _open_plan(maker, config, {kind: count for kind, count in rows.items() if count}, command)
        is_begun = (folder / WORK / PLAN).exists()
        own = shards_of(*_process(config), _planned(config, rows))
        missing = _unfinished(folder, own)
        if missing and (folder / MANIFEST).exists():
            claims.enter_context(_claimed(config, rows))
        return _complete(engine or _Here(maker, config), config, plan, own, missing, is_begun)


@contextlib.contextmanager
def _claimed(config: DatasetConfig, rows: Mapping[Kind, int]) -> Iterator[None]:
    """Keep others from the shards that this process makes; other workers make other ones."""
    work, (worker, workers) = Path(config.output, WORK), _process(config)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_if_empty, work)
        with disk_errors(Path(config.output)):
            work.mkdir(parents=True, exist_ok=True)
            stack.enter_context(claimed(work / f"{worker}-of-{workers}.claim", config.output))
        own = set(shards_of(worker, workers, _planned(config, rows)))
        for path in work.glob("*-of-*.claim"):
            if (other := _CLAIM.fullmatch(path.name)) and (int(other[1]), int(other[2])) != (worker, workers):
                overlap = own & set(shards_of(int(other[1]), max(int(other[2]), 1), _planned(config, rows)))
                if overlap and (holder := owner(path)):
                    raise refusal(config.output, holder)
        yield


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another process is at work in it
        folder.rmdir()


def _complete(
    engine: Engine,
    config: DatasetConfig,
    plan: Plan,
    own: Sequence[Shard],
    missing: Sequence[Shard],
    is_begun: bool,
) -> Emission:
    folder = Path(config.output)
    made, kept = (sum(shard.rows for shard in shards) for shards in (missing, set(own) - set(missing)))
    if missing and isinstance(engine, _Here):
        engine.maker.prepare()
    started = time.perf_counter()
    if missing:
        with tqdm(total=made + kept, initial=kept, unit="row", desc=str(folder), disable=rank() != 0) as progress:
            _make(engine, folder, plan, missing, progress)
    seconds = time.perf_counter() - started
    manifest = _finish_if_complete(folder, is_begun)
    # of a dataset that was finished before, every process has the manifest; of others, the one that finishes it
    tells = world_size() == 1 or (manifest is not None and (is_begun or rank() == 0))
    return Emission(folder, manifest, made, kept, seconds, world_size(), tells)


def check_output(folder: Path) -> None:
    """Refuse to write among files that no emission has put there.

    Raises:
        MisuseError: naming one of them.
        FailureError: a link leads out of the folder.
    """
    for written in (WORK, MANIFEST, "data", "assets", "README.md"):
        inside(folder, written)
    with disk_errors(folder):
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if foreign := names - {WORK}:
        begun = (folder / WORK / PLAN).exists() or (folder / MANIFEST).exists()
        if not begun:
            raise MisuseError(f"{folder} holds other files ({min(foreign)}): choose another --output, or empty it")


def _open_plan(maker: RowMaker, config: DatasetConfig, rows: Mapping[Kind, int], command: str) -> Plan:
    """The plan that the dataset directory was begun with, or a new one."""
    folder = Path(config.output)
    settings = {name: value for name, value in asdict(config).items() if name not in (*_PATHS, *_HOW)}
    settings = json.loads(json.dumps(settings))  # as a plan that was read back has them
    plan = read_plan(folder)
    if plan is None:
        with disk_errors(folder):
            (folder / WORK).mkdir(parents=True, exist_ok=True)
        new: Plan = {
            "settings": settings,
            "run": maker.identity,
            **maker.measure(),
            "made_with": {"command": command, "device": maker.device, "versions": _versions()},
            "shards": [asdict(shard) for shard in _planned(config, rows)],
        }
        with disk_errors(folder):
            plan = begin(folder, new)
    # a plan of an earlier version lacks the settings that came since
    defaults = {field.name: field.default for field in fields(config) if field.name in settings}
    plan["settings"] = defaults | plan["settings"]
    check_same(folder, plan, settings, maker.identity)
    if [shard["rows"] for shard in plan["shards"]] != [shard.rows for shard in _planned(config, rows)]:
        raise FailureError(f"the plan of {folder} has other shards than its settings give: write another --output")
    return plan


def _planned(config: DatasetConfig, rows: Mapping[Kind, int]) -> list[Shard]:
    """All shards of the dataset, in the order of its manifest."""
    planned = (plan_shards(kind, count, config.shard_size, config.format) for kind, count in rows.items() if count)
    return [shard for shards in planned for shard in shards]


def _make(engine: Engine, folder: Path, plan: Plan, shards: Sequence[Shard], progress: tqdm) -> None:
    expected = _expected(folder)
    with disk_errors(folder):
        (folder / WORK).mkdir(exist_ok=True)
        for made in engine(plan, shards, expected, progress):
            if not expected:
                record(folder, made)


@dataclass(frozen=True)
class _Here:
    """The ``Engine`` that is this process."""

    maker: RowMaker
    config: DatasetConfig

    def __call__(
        self, plan: Plan, shards: Sequence[Shard], expected: dict[str, str], progress: tqdm
    ) -> Iterator[Record]:
        writer = ShardWriter(self.config, expected, progress)
        for kind in dict.fromkeys(shard.kind for shard in shards):
            criteria = plan["criteria"][kind]
            of_kind = [shard for shard in shards if shard.kind == kind]
            blocks = self.maker.make(kind, criteria, of_kind)
            yield from writer.write(of_kind, self.maker.features(kind), criteria["edges"], blocks)


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
    _remove_if_empty(folder / WORK)
    return finish_dataset(folder) if (folder / MANIFEST).exists() else None


def _process(config: DatasetConfig) -> tuple[int, int]:
    """The number of this process and how many there are, over the job array and the launcher."""
    return (config.worker or 0) * world_size() + rank(), (config.workers or 1) * world_size()


def _command(config: Any, program: str) -> str:
    """The command that repeats the emission, without paths that lead out of the working directory."""
    flags, common = [], {field.name for field in fields(DatasetConfig)}
    for field in sorted(fields(config), key=lambda field: (field.name not in ("run", "output"), field.name in common)):
        value = getattr(config, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if field.name in _HOW or value == default:
            continue
        if field.name in _PATHS:
            value = _relative(value)
        flags.append(f"--{field.name} {shlex.quote(str(list(value) if isinstance(value, tuple) else value))}")
    return " ".join([program, *flags])


def _relative(source: str) -> str:
    """A path, or a source such as ``parquet:PATH``, from the working directory on, or by its name alone."""
    prefix, colon, path = source.rpartition(":")
    if not Path(path).exists() and source != path:
        return source
    relative = os.path.relpath(path)
    return f"{prefix}{colon}{Path(path).name if relative.startswith('..') else relative}"


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
