"""Ways to take images out of an encoder, beside training anew without them."""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from accelerate import Accelerator

from synthdata.benchmarks.takedown_table import TakedownResult, as_markdown
from synthdata.data import RealData, load_images
from synthdata.errors import MisuseError
from synthdata.paths import PathText
from synthdata.ranges import NonNegativeInt, PositiveInt
from synthdata.rng import generator_at
from synthdata.run_files import read_run, read_run_file
from synthdata.settings import settings_of
from synthdata.takedown.audit import AuditConfig, measure_runs
from synthdata.takedown.before import Before, divide, open_before
from synthdata.takedown.config import ForgettingConfig, Method, TakedownRunConfig
from synthdata.takedown.takedown import take_down_rows
from synthdata.training import JointConfig, train_joint
from synthdata.training.execution import start_accelerator
from synthdata.training.run_directory import RunDirectory, write_aside

ListName = Literal["1 %", "10 %", "class", "placebo"]
_OTHER_SEED = 10_000


@dataclass
class TakedownBenchmarkConfig(JointConfig):
    """Lists of images taken out of the same trainings in several ways.

    Of each seed a run is trained, then the run less each list, which is the reference. The settings are those of
    recipes/joint.py; with an arm other than real, generators are taken along. data.limit leaves images that were never
    trained on, for the placebo.

    Attributes:
        seeds: number of seeds; ``seed`` is the first.
        lists: which images: 1 % or 10 % of the training images, all of one class, or as many as 10 % that were never
            trained on. Each seed draws its own.
        methods: what is compared with training anew.
        again: also train anew from another seed: no way can be told to come nearer than that.
        forgetting: settings of all methods.
        relearn_steps: as for recipes/audit.py.
        output: folder of the runs and the table. What is finished in it is kept.
    """

    arm: Literal["real", "inflate", "hard", "pairs", "both"] = "real"
    seeds: PositiveInt = 5
    lists: list[ListName] = field(default_factory=lambda: list(get_args(ListName)))
    methods: list[Method] = field(default_factory=lambda: ["calibration", "contrastive", "finetune", "ascent"])
    again: bool = True
    forgetting: ForgettingConfig = field(default_factory=ForgettingConfig)
    relearn_steps: NonNegativeInt = 40
    output: PathText = "out/takedown-benchmark"


def takedown_table(config: TakedownBenchmarkConfig) -> str:
    """Train and measure what ``config.output`` lacks; returns the table, which is there as table.md.

    Raises:
        MisuseError: there are several processes, the settings do not fit, or the folder holds others.
        FailureError: a training diverges, or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C; the same command goes on.
    """
    accelerator = start_accelerator(config)
    if accelerator.num_processes > 1:
        raise MisuseError("takedowns are measured on one process: start it without others")
    folder = Path(config.output)
    data = load_images(config.data)
    results = []
    for seed in range(config.seed, config.seed + config.seeds):
        for name in config.lists:
            path = folder / "results" / f"seed-{seed}-{name.replace(' %', '-percent')}.json"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                result = _measure(config, seed, name, data, accelerator)
                write_aside(path, json.dumps(result, indent=2) + "\n")
            results.append(dict(read_run_file(path, TakedownResult)))
            write_aside(folder / "table.md", as_markdown(results))
    return as_markdown(results)


def draw_list(name: ListName, data: RealData, seed: int) -> list[int]:
    """Rows of the source for one list.

    Raises:
        MisuseError: there are no labels for a class, or no images beyond the limit for a placebo.
    """
    rows, generator = data.train.source_indices, generator_at("takedown benchmark", name, seed)
    if name == "class":
        labels = data.train.labels
        if labels is None:
            raise MisuseError(f"{data.source} has no labels: leave class out of --lists")
        classes = labels.unique()
        return rows[labels == classes[seed % len(classes)]].tolist()
    if name == "placebo":
        beyond = data.labelled.source_indices
        beyond = beyond[~torch.isin(beyond, rows)]
        count = len(rows) // 10
        if len(beyond) < count:
            raise MisuseError(f"a placebo needs {count} images that are not trained on: set a lower --data.limit")
        return sorted(beyond[torch.randperm(len(beyond), generator=generator)[:count]].tolist())
    count = max(1, len(rows) // (100 if name == "1 %" else 10))
    return sorted(rows[torch.randperm(len(rows), generator=generator)[:count]].tolist())


def _measure(
    config: TakedownBenchmarkConfig, seed: int, name: ListName, data: RealData, accelerator: Accelerator
) -> dict[str, Any]:
    """All methods on one list of one seed."""
    before = _before(config, seed, data)
    rows = draw_list(name, data, seed)
    runs, seconds = {"before": before.folder}, {}
    for way, run in _ways(config, before, name):
        report = take_down_rows(run, before, rows, accelerator, deadline=math.inf)
        runs[way], seconds[way] = Path(run.output_dir), report["cpu_seconds"]
        shutil.rmtree(RunDirectory(runs[way]).checkpoints, ignore_errors=True)
    audit = AuditConfig(relearn_steps=config.relearn_steps, seed=seed)
    measured = measure_runs(runs, divide(before, rows), before, audit, accelerator.device)
    return {
        "list": name,
        "seed": seed,
        "images": len(rows),
        "power": measured.pop("power")["auc"]["value"],
        "cpu_seconds": {"before": before.report["cpu_seconds"], **seconds},
        "steps": {way: read_run(runs[way]).report["steps"] for way in seconds},
        "runs": measured,
    }


def _ways(config: TakedownBenchmarkConfig, before: Before, name: ListName) -> Iterator[tuple[str, TakedownRunConfig]]:
    """Training anew first; without a placebo, which was never there, it is the run before, bit for bit."""
    if name != "placebo":
        yield "retrain", _run_config(config, before, "retrain", name, "retrain")
        if config.again:
            run = _run_config(config, before, "retrain", name, "again")
            yield "retrain again", replace(run, seed=run.seed + _OTHER_SEED)
    for method in config.methods:
        if method != "retrain":
            yield method, _run_config(config, before, method, name, method)


def _before(config: TakedownBenchmarkConfig, seed: int, data: RealData) -> Before:
    folder = Path(config.output) / "runs" / f"before-{seed}"
    run = _joint(config, JointConfig, seed, folder)
    train_joint(run, data, deadline=math.inf)
    return open_before(folder)


def _run_config(
    config: TakedownBenchmarkConfig, before: Before, method: Method, name: ListName, way: str
) -> TakedownRunConfig:
    folder = before.folder.with_name(f"{way}-{name.replace(' %', '-percent')}-{before.config.seed}")
    run = _joint(config, TakedownRunConfig, before.config.seed, folder)
    return replace(run, takedown=replace(config.forgetting, method=method, run=str(before.folder)))


def _joint(config: TakedownBenchmarkConfig, kind: type[Any], seed: int, folder: Path) -> Any:
    shared = settings_of(config, JointConfig)
    return kind(**shared | {"seed": seed, "output_dir": str(folder), "resume": True, "page": False})
