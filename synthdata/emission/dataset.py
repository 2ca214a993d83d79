"""Writing a dataset directory from beginning to end, or from where it was interrupted, whatever makes its rows."""

import contextlib
import json
import os
import platform
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from datasets import Features
from tqdm import tqdm

import synthdata
from synthdata.claims import claimed, owner, refusal
from synthdata.emission.config import DatasetConfig
from synthdata.emission.kinds import Kind, Row
from synthdata.emission.manifest import (
    MANIFEST,
    WORK,
    Plan,
    Record,
    begin,
    check_same,
    finish_dataset,
    is_begun,
    is_finished,
    read_plan,
    record,
    recorded,
    recorded_paths,
)
from synthdata.emission.plan import Shard, check_shard_count, plan_shards, shards_of
from synthdata.emission.shards import ShardWriter
from synthdata.emission.verify import DATA, shard_problems
from synthdata.errors import FailureError, MisuseError
from synthdata.processes import rank, world_size
from synthdata.stores import LocalStore, Location, Store, loading_call, open_store
from synthdata.stores.local import disk_errors

_CLAIM = re.compile(r"(\d{1,9})-of-(\d{1,9})\.claim")
_PATHS = ("run", "output", "source", "encoder", "graph", "truth")
_HOW = ("batch_size", "worker", "workers", "engine", "engine_address", "engine_gpus", "page")
"""Settings that change where and how fast rows are made, and none of them."""
_RECORDED_VERSIONS = ("torch", "torchvision", "diffusers", "datasets", "pillow", "pyarrow", "numpy")


Engine = Callable[[Plan, Sequence[Shard], dict[str, str], tqdm, Callable[[Record], None]], None]
"""Makes shards of a plan, in any order, and tells of the record of each that is in its place; the sha256 of those that
must come out as they were, by path, and the bar of rows come with them."""


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
        folder: where the dataset is.
        manifest: of the finished dataset; None while other processes are still at work on it, or if another has just
            finished it.
        rows: rows that this process made.
        kept: rows of finished shards that it found and kept.
        seconds: wall time of making rows, without the preparation.
        processes: of the launcher.
        tells: whether this is the one of these processes that tells of the work of all.
    """

    folder: Store
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
        MisuseError: an output that cannot be written or holds something else, or too many shards.
        FailureError: the disk is full, or rows find no acceptable candidate; finished shards are kept.
    """
    check_shard_count(sum(rows.values()), config.shard_size)
    store = open_store(config.output)
    with contextlib.ExitStack() as claims:
        if not is_finished(store):
            claims.enter_context(_claimed(store, config, rows))
        command = _command(config if told is None else told, program)
        plan = _open_plan(store, maker, config, {kind: count for kind, count in rows.items() if count}, command)
        begun = is_begun(store)
        own = shards_of(*_process(config), _planned(config, rows))
        missing = _unfinished(store, plan, own)
        if missing and is_finished(store):
            claims.enter_context(_claimed(store, config, rows))
        return _complete(engine or _Here(store, maker, config), config, store, plan, own, missing, begun)


@contextlib.contextmanager
def _claimed(store: Store, config: DatasetConfig, rows: Mapping[Kind, int]) -> Iterator[None]:
    """Keep others of this machine from the shards that this process makes; other workers make other ones.

    In an object store nothing is claimed: what two processes put there is the same.
    """
    if not isinstance(store, LocalStore):
        yield
        return
    work, (worker, workers) = store.folder / WORK, _process(config)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_if_empty, work)
        with disk_errors(store):
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
    store: Store,
    plan: Plan,
    own: Sequence[Shard],
    missing: Sequence[Shard],
    begun: bool,
) -> Emission:
    made, kept = (sum(shard.rows for shard in shards) for shards in (missing, set(own) - set(missing)))
    if missing and isinstance(engine, _Here):
        engine.maker.prepare()
    started = time.perf_counter()
    if missing:
        with tqdm(total=made + kept, initial=kept, unit="row", desc=str(store), disable=rank() != 0) as progress:
            _make(engine, store, plan, missing, progress)
    seconds = time.perf_counter() - started
    manifest = _finish_if_complete(store, begun)
    # of a dataset that was finished before, every process has the manifest; of others, the one that finishes it
    tells = world_size() == 1 or (manifest is not None and (begun or rank() == 0))
    return Emission(store, manifest, made, kept, seconds, world_size(), tells)


def check_output(location: Location) -> None:
    """Refuse to write among files that no emission has put there.

    Raises:
        MisuseError: naming one of them.
        FailureError: a link leads out of the folder.
    """
    store = open_store(location)
    if isinstance(store, LocalStore):
        for written in (WORK, MANIFEST, DATA, "assets", "README.md"):
            store.fetch(written)
    with disk_errors(store):
        names = store.names()
    if (foreign := names - {WORK, ".gitattributes"}) and not (is_begun(store) or is_finished(store)):
        raise MisuseError(f"{store} holds other files ({min(foreign)}): choose another --output, or empty it")


def _open_plan(store: Store, maker: RowMaker, config: DatasetConfig, rows: Mapping[Kind, int], command: str) -> Plan:
    """The plan that the dataset was begun with, or a new one."""
    settings = {name: value for name, value in asdict(config).items() if name not in (*_PATHS, *_HOW)}
    settings = json.loads(json.dumps(settings))  # as a plan that was read back has them
    plan = read_plan(store)
    if plan is None:
        new: Plan = {
            "settings": settings,
            "run": maker.identity,
            **maker.measure(),
            "made_with": {"command": command, "device": maker.device, "versions": _versions()},
            "shards": [asdict(shard) for shard in _planned(config, rows)],
        }
        with disk_errors(store):
            plan = begin(store, new)
    # a plan of an earlier version lacks the settings that came since
    defaults = {field.name: field.default for field in fields(config) if field.name in settings}
    plan["settings"] = defaults | plan["settings"]
    check_same(store, plan, settings, maker.identity)
    if [shard["rows"] for shard in plan["shards"]] != [shard.rows for shard in _planned(config, rows)]:
        raise FailureError(f"the plan of {store} has other shards than its settings give: write another --output")
    return plan


def _planned(config: DatasetConfig, rows: Mapping[Kind, int]) -> list[Shard]:
    """All shards of the dataset, in the order of its manifest."""
    planned = (plan_shards(kind, count, config.shard_size, config.format) for kind, count in rows.items() if count)
    return [shard for shards in planned for shard in shards]


def _make(engine: Engine, store: Store, plan: Plan, shards: Sequence[Shard], progress: tqdm) -> None:
    expected = _expected(store, plan)
    finished = partial(record, store) if not expected else lambda made: None
    with disk_errors(store):
        engine(plan, shards, expected, progress, finished)


@dataclass(frozen=True)
class _Here:
    """The ``Engine`` that is this process."""

    store: Store
    maker: RowMaker
    config: DatasetConfig

    def __call__(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        expected: dict[str, str],
        progress: tqdm,
        finished: Callable[[Record], None],
    ) -> None:
        writer = ShardWriter(self.store, self.config, expected, progress)
        for kind in dict.fromkeys(shard.kind for shard in shards):
            criteria = plan["criteria"][kind]
            of_kind = [shard for shard in shards if shard.kind == kind]
            blocks = self.maker.make(kind, criteria, of_kind)
            writer.write(of_kind, self.maker.features(kind), criteria["edges"], blocks, finished)


def _unfinished(store: Store, plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
    """Those of ``shards`` that are not there as they were recorded."""
    records = recorded(store, plan)
    made = [shard for shard in shards if shard.path in records]
    problems = shard_problems(store, [records[shard.path] for shard in made], store.list(DATA))
    sound = {shard for shard, problem in zip(made, problems, strict=True) if problem is None}
    return [shard for shard in shards if shard not in sound]


def _expected(store: Store, plan: Plan) -> dict[str, str]:
    """Of a finished dataset, the sha256 of every shard."""
    return {path: shard["sha256"] for path, shard in recorded(store, plan).items()} if is_finished(store) else {}


def _finish_if_complete(store: Store, begun: bool) -> dict[str, Any] | None:
    if is_begun(store):
        plan = read_plan(store)
        complete = plan is not None and (is_finished(store) or len(recorded_paths(store, plan)) == len(plan["shards"]))
        return finish_dataset(store) if complete else None
    if begun:
        return None  # another process finished it in the meantime
    if isinstance(store, LocalStore):
        _remove_if_empty(store.folder / WORK)
    return finish_dataset(store) if is_finished(store) else None


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
            f"  {loading_call(emission.folder, kind, emission.manifest['settings']['format'])}",
        ]
    return "\n".join([*lines, f"The dataset is in {emission.folder}"])
