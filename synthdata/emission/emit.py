"""An emission from beginning to end, or from where it was interrupted."""

import contextlib
import json
import os
import platform
import shlex
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from tqdm import tqdm

import synthdata
from synthdata.emission.compute import ModelThreads, embed_real_images
from synthdata.emission.config import EmissionConfig, check_config
from synthdata.emission.criteria import Criteria, draw_reference, measure_criteria
from synthdata.emission.fidelity import measure_fidelity
from synthdata.emission.files import disk_errors
from synthdata.emission.guard import RealNeighbours
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
from synthdata.emission.plan import Kind, Shard, plan_shards, shards_of
from synthdata.emission.run import Run, load_run
from synthdata.emission.scoring import forward_batch
from synthdata.emission.shards import ShardWriter, selected_rows
from synthdata.emission.verify import shard_problem
from synthdata.errors import MisuseError
from synthdata.processes import local_rank, rank, world_size

_NOT_SETTINGS = ("run", "output", "batch_size", "worker", "workers")
_RECORDED_VERSIONS = ("torch", "torchvision", "diffusers", "datasets", "pillow", "pyarrow", "numpy")


@dataclass(frozen=True)
class Emission:
    """What one process did for a dataset.

    Attributes:
        folder: the dataset directory.
        manifest: of the finished dataset; None while other processes are still at work on it.
        rows: rows that this process made.
        kept: rows of finished shards that it found and kept.
        seconds: wall time of making rows, without the preparation.
    """

    folder: Path
    manifest: dict[str, Any] | None
    rows: int
    kept: int
    seconds: float


def emit(config: EmissionConfig) -> Emission:
    """Write the hard samples and positive pairs of a run as a dataset directory, or complete an interrupted one.

    Under a launcher, or as one of ``config.workers``, a process makes its share of the shards without talking to the
    others; the last one to finish writes the manifest and the card.

    Raises:
        MisuseError: a setting out of range, a run directory that cannot be used, an output that cannot be written or
            holds something else.
        FailureError: the disk is full, or rows find no acceptable candidate; finished shards are kept.
    """
    check_config(config)
    _check_output(Path(config.output))
    device = _device()
    return emit_run(load_run(Path(config.run), device), config, device)


def emit_run(run: Run, config: EmissionConfig, device: torch.device) -> Emission:
    """``emit`` for models and images that are open already, the models on ``device``."""
    folder = Path(config.output)
    deterministic = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with deterministic, ModelThreads(run, device, compute_threads(config, device)) as models:
        real = cache(lambda: embed_real_images(models))
        plan = _open_plan(config, models, real)
        own = shards_of(*_process(config), [Shard(**shard) for shard in plan["shards"]])
        missing = _unfinished(folder, own)
        rows, kept = (sum(shard.rows for shard in shards) for shards in (missing, set(own) - set(missing)))
        if missing:
            real()
        started = time.perf_counter()
        if missing:
            with tqdm(total=rows + kept, initial=kept, unit="row", desc=str(folder), disable=rank() != 0) as progress:
                _make(missing, plan, ShardWriter(config, _expected(folder), progress), models, real())
        seconds = time.perf_counter() - started
    return Emission(folder, _finish_if_complete(folder), rows, kept, seconds)


def _open_plan(config: EmissionConfig, models: ModelThreads, real: Callable[[], RealNeighbours]) -> Plan:
    """The plan that the dataset directory was begun with, or a new one."""
    folder, run = Path(config.output), models.run
    settings = {name: value for name, value in asdict(config).items() if name not in _NOT_SETTINGS}
    settings = json.loads(json.dumps(settings))  # as a plan that was read back has them
    plan = read_plan(folder)
    if plan is None:
        with disk_errors(folder):
            (folder / WORK).mkdir(parents=True, exist_ok=True)
        kinds = [kind for kind, rows in _rows(config).items() if rows]
        references = {kind: draw_reference(kind, config, models, real()) for kind in kinds}
        criteria = {kind: measure_criteria(reference, config) for kind, reference in references.items()}
        new: Plan = {
            "settings": settings,
            "run": run.identity,
            "training": run.training,
            "criteria": {kind: asdict(rules) for kind, rules in criteria.items()},
            "fidelity": {kind: measure_fidelity(references[kind], criteria[kind], models) for kind in kinds},
            "made_with": {"command": _command(config), "device": models.device.type, "versions": _versions()},
            "shards": [
                asdict(shard)
                for kind in kinds
                for shard in plan_shards(kind, _rows(config)[kind], config.shard_size, config.format)
            ],
        }
        with disk_errors(folder):
            plan = begin(folder, new)
    check_same(folder, plan, settings, run.identity)
    return plan


def _make(shards: Sequence[Shard], plan: Plan, writer: ShardWriter, models: ModelThreads, real: RealNeighbours) -> None:
    folder = Path(writer.config.output)
    with disk_errors(folder):
        (folder / WORK).mkdir(exist_ok=True)
        for kind, criteria in plan["criteria"].items():
            rules = Criteria(**criteria)
            of_kind = [shard for shard in shards if shard.kind == kind]
            for made in writer.write(of_kind, rules, selected_rows(models, real, rules, of_kind)):
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


def _finish_if_complete(folder: Path) -> dict[str, Any] | None:
    if (folder / WORK / PLAN).exists():
        plan = read_plan(folder)
        complete = plan is not None and recorded(folder).keys() >= {shard["path"] for shard in plan["shards"]}
        return finish_dataset(folder) if complete else None
    with contextlib.suppress(OSError):  # left by a restored shard, unless another process is at work in it
        (folder / WORK).rmdir()
    return finish_dataset(folder) if (folder / MANIFEST).exists() else None


def _rows(config: EmissionConfig) -> dict[Kind, int]:
    return {"hard": config.hard, "pairs": config.pairs}


def _check_output(folder: Path) -> None:
    """Refuse to write among files that no emission has put there."""
    with disk_errors(folder):
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if foreign := names - {WORK}:
        begun = (folder / WORK / PLAN).exists() or (folder / MANIFEST).exists()
        if not begun:
            raise MisuseError(f"{folder} holds other files ({min(foreign)}): choose another --output, or empty it")


def _process(config: EmissionConfig) -> tuple[int, int]:
    """The number of this process and how many there are, over the job array and the launcher."""
    return config.worker * world_size() + rank(), config.workers * world_size()


def _device() -> torch.device:
    if torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU"):
        return torch.device("cuda", local_rank() % torch.cuda.device_count())
    return torch.device("cpu")


def compute_threads(config: EmissionConfig, device: torch.device) -> int:
    """Forward passes that go on side by side, to have ``config.batch_size`` images in the works.

    If that is not given, one for each core; on an accelerator, one computes while the other's results are looked at.
    """
    if config.batch_size is not None:
        return -(-config.batch_size // forward_batch(device))
    return torch.get_num_threads() if device.type == "cpu" else 2


def _command(config: EmissionConfig) -> str:
    """The command that repeats the emission, without paths that lead out of the working directory."""
    flags = []
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name in ("batch_size", "worker", "workers") or value == field.default:
            continue
        if field.name in ("run", "output"):
            relative = os.path.relpath(value)
            value = Path(value).name if relative.startswith("..") else relative
        flags.append(f"--{field.name} {shlex.quote(str(list(value) if isinstance(value, tuple) else value))}")
    return " ".join(["accelerate launch recipes/emit.py", *flags])


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in _RECORDED_VERSIONS}
    return {"synthdata": synthdata.__version__, "python": platform.python_version(), **libraries}


def summary(emission: Emission) -> str:
    """What was made, what was dropped and where it is, for a person to read."""
    rate = emission.rows / max(emission.seconds, 1e-9)
    lines = [f"{emission.rows:,} rows made in {emission.seconds:.1f} s ({rate:,.0f} rows/s), {emission.kept:,} kept"]
    if emission.manifest is None:
        return f"{lines[0]}; {emission.folder} is completed by the last process to finish"
    for kind, counts in emission.manifest["kinds"].items():
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in counts["dropped"].items())
        shards = sum(shard["kind"] == kind for shard in emission.manifest["shards"])
        lines += [
            f"{kind}: {counts['rows']:,} rows in {shards} shards, {counts['bytes']:,} bytes; "
            f"{counts['candidates']:,} candidates, dropped: {dropped}",
            f'  load_dataset("{emission.folder}", "{kind}", split="train")',
        ]
    return "\n".join([*lines, f"The dataset is in {emission.folder}"])
