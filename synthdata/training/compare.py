"""Which dataset teaches best: the same training on real images alone and beside each of several emitted datasets."""

import math
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from synthdata.comparison import BASELINE, Comparison, Trained
from synthdata.data import DataConfig, PairsConfig, RealData, load_images, load_pairs
from synthdata.errors import Interrupted, MisuseError
from synthdata.evaluation.compared_reach import compared_reach
from synthdata.evaluation.labelled import check_labels
from synthdata.evaluation.score import check_budgets, label_budgets, score_name, score_titles
from synthdata.paths import PathText
from synthdata.ranges import PositiveInt
from synthdata.training.checkpoint import latest_checkpoint, step_of
from synthdata.training.collective import local_main_process_first
from synthdata.training.contrast import train_contrast
from synthdata.training.contrast_config import ContrastConfig, ContrastSettings, Mix, one_of_several
from synthdata.training.execution import start_accelerator
from synthdata.training.run_directory import RunDirectory

LABEL_SHARES = (0.01, 0.1)
"""Shares of the labelled training images that the low-label probes see."""


@dataclass
class CompareConfig(ContrastSettings):
    """Contrastive training on real images alone and beside each of several emitted datasets, at equal steps.

    Attributes:
        shards: the datasets: directories, or repositories of the Hub as OWNER/NAME.
        data: labelled real images; the labels serve the scores alone.
        seeds: number of seeds, from 0.
        limits: numbers of real images; data.limit, or all of them, if not given. Several give the data efficiency.
        mix: "adainf" trains each dataset once more, mixed with the real images as AdaInf does, and once on real images
            alone with the weaker views of that mix, which tells what the views change from what the images do.
        synthetic_only: also train on each dataset without real images.
        tell_cards: write label reach, where it could be measured, into the cards of those datasets that are folders.
        output: folder of the runs, the report and the plots. Finished runs in it are kept.
    """

    shards: list[PathText] = field(default_factory=list)
    data: DataConfig = field(default_factory=DataConfig)
    seeds: PositiveInt = 3
    limits: list[PositiveInt] = field(default_factory=list)
    mix: Literal["adainf"] | None = None
    synthetic_only: bool = False
    tell_cards: bool = False
    output: PathText = "out/compare"


@dataclass(frozen=True)
class Way:
    """A way of training.

    Attributes:
        name: in tables and plots.
        shards: its dataset; None for real images alone.
        mix: how it is mixed with real images.
        real: whether there are real images.
        weaker: whether real images alone get the weaker synthetic_views.
    """

    name: str
    shards: str | None = None
    mix: Mix = "ratio"
    real: bool = True
    weaker: bool = False


@dataclass(frozen=True)
class Job:
    """One training: a way, on so many real images, with a seed."""

    way: Way
    images: int
    seed: int

    @property
    def folder(self) -> str:
        """Name of its run directory."""
        name = re.sub(r"[^\w.]+", "-", self.way.name).strip("-")
        return f"{name}-{self.images}-images-seed-{self.seed}"


def compare(config: CompareConfig) -> tuple[Comparison, dict[str, Any]] | None:
    """Make the trainings that ``config.output`` lacks, and collect the scores of all.

    Returns:
        The comparison, and what was compared on which machine; None on all processes but the first.

    Raises:
        MisuseError: a dataset, the images or a setting cannot be used, or the folder holds runs with other settings.
        FailureError: a training diverges, a shard is damaged, or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C; the same command goes on.
    """
    accelerator = start_accelerator(_run_config(config, Job(Way(BASELINE), 0, 0), []))
    with local_main_process_first(accelerator):
        data = load_images(config.data)
        _check(config, data)
    budgets = label_budgets(data, LABEL_SHARES)
    check_budgets(budgets, config.evaluation.limit, "evaluation.limit")
    jobs = list(plan_jobs(config, len(data.train)))
    reports = []
    with _progress(config, jobs, accelerator.is_main_process) as progress:
        for number, job in enumerate(jobs, 1):
            told = f"[{number}/{len(jobs)}] {job.way.name}, {job.images:,} real images, seed {job.seed}"
            progress.set_description(told)
            reports.append(_train(_run_config(config, job, budgets), data, job, progress))
    if not accelerator.is_main_process:
        return None
    measures = _measures(budgets, "test" if config.evaluation.test else "validation")
    runs = [
        Trained(job.way.name, job.images, job.seed, {measure: report[measure] for measure in measures})
        for job, report in zip(jobs, reports, strict=True)
    ]
    reach = _label_reach(config, jobs, data, accelerator.device)
    return Comparison(runs, measures), _circumstances(config, reports[-1]) | {"label_reach": reach}


def plan_jobs(config: CompareConfig, images: int) -> Iterator[Job]:
    """All trainings, one seed of all ways first.

    Args:
        images: real images that there are.
    """
    for seed in range(config.seeds):
        for way in ways_of(config):
            counts = sorted(config.limits) or [images]
            yield from (Job(way, count, seed) for count in (counts if way.real else [0]))


def ways_of(config: CompareConfig) -> list[Way]:
    """Real images alone, and each dataset in every way that is asked for."""
    ways = [Way(BASELINE)]
    if config.mix == "adainf":
        ways.append(Way(f"{BASELINE}, weaker views", weaker=True))
    for name, shards in zip(_names(config.shards), config.shards, strict=True):
        ways.append(Way(f"{BASELINE} + {name}", shards))
        if config.mix == "adainf":
            ways.append(Way(f"{BASELINE} + {name} (AdaInf)", shards, "adainf"))
        if config.synthetic_only:
            ways.append(Way(f"{name} alone", shards, real=False))
    return ways


def local_datasets(config: CompareConfig) -> dict[str, Path]:
    """The datasets that are folders, by the way of training on them beside real images."""
    return {
        way.name: Path(way.shards).expanduser()
        for way in ways_of(config)
        if way.shards and way.real and way.mix == "ratio" and Path(way.shards).expanduser().is_dir()
    }


def _names(shards: Sequence[str]) -> list[str]:
    """Datasets by the last part of their path, or by all of it where that is not enough to tell them apart."""
    short = [Path(each).name for each in shards]
    return short if len(set(short)) == len(short) else list(shards)


def _check(config: CompareConfig, data: RealData) -> None:
    if not config.shards:
        raise MisuseError("there is nothing to compare: give --shards with one or more datasets")
    if len(set(config.shards)) < len(config.shards):
        raise MisuseError(f"shards names a dataset twice: {', '.join(config.shards)}; name each once")
    check_labels(data)
    for limit in config.limits:
        if limit > len(data.train):
            raise MisuseError(
                f"limits asks for {limit:,} real images, and {data.source} has {len(data.train):,} to train on: give at"
                " most that"
            )
    fewest, batch = min([*config.limits, len(data.train)]), config.train.batch_size
    if fewest < batch:
        raise MisuseError(
            f"{fewest:,} real images are fewer than train.batch_size {batch}: give more, or a smaller batch"
        )
    for shards in config.shards:
        # a dataset that does not fit is told before anything is trained
        settings = PairsConfig(shards, config.kinds, config.on_corrupt, resident_gib=0)
        load_pairs(settings, data.train.image_size, data.channels)


def _progress(config: CompareConfig, jobs: Sequence[Job], is_shown: bool) -> tqdm:
    """A bar over the steps of all trainings, at those that are done."""
    steps = config.train.steps
    done = sum(_steps_done(RunDirectory(_run_folder(config, job)), steps) for job in jobs)
    # the time of all steps so far, scores included, tells the time of those to come: their pace alone would not
    return tqdm(
        total=len(jobs) * steps, initial=done, unit="step", smoothing=0, disable=not is_shown, dynamic_ncols=True
    )


def _steps_done(run: RunDirectory, steps: int) -> int:
    if run.report.exists():
        return steps
    checkpoint = latest_checkpoint(run.checkpoints)
    return step_of(checkpoint) if checkpoint else 0


def _run_folder(config: CompareConfig, job: Job) -> Path:
    return Path(config.output) / "runs" / job.folder


def _run_config(config: CompareConfig, job: Job, budgets: list[int]) -> ContrastConfig:
    data = replace(config.data, limit=job.images or config.data.limit)
    return replace(
        one_of_several(config, data, job.seed, _run_folder(config, job)),
        shards=job.way.shards,
        mix=job.way.mix,
        views=config.synthetic_views if job.way.weaker else config.views,
        synthetic_share=config.synthetic_share if job.way.real else 1.0,
        evaluation=replace(config.evaluation, labels=budgets),
    )


def _train(run: ContrastConfig, data: RealData, job: Job, progress: tqdm) -> dict[str, Any]:
    """The report of a training, made now or before; empty on all processes but the first."""
    train = data.train.subset(torch.arange(job.images or len(data.train)))
    try:
        # no deadline, but the processes stay for the next training
        report = train_contrast(run, replace(data, train=train), deadline=math.inf, progress=progress)
    except Interrupted as interrupted:
        told = "stopped and saved; run the same command again to go on"
        raise Interrupted(interrupted.exit_code - 128, told) from interrupted
    if report:
        shutil.rmtree(RunDirectory(Path(run.output_dir)).checkpoints, ignore_errors=True)
    return report


def _label_reach(config: CompareConfig, jobs: Sequence[Job], data: RealData, device: torch.device) -> dict[str, Any]:
    """That of the encoders trained on most real images, and on none."""
    encoders: dict[str, list[Path]] = {}
    for job in jobs:
        if job.images in (0, max(config.limits, default=len(data.train))):
            run = RunDirectory(Path(config.output) / "runs" / job.folder)
            encoders.setdefault(job.way.name, []).append(run.encoder)
    return compared_reach(encoders, data, device, config.evaluation.test)


def _measures(budgets: list[int], split: str) -> dict[str, str]:
    """Titles by the name of a score in a run's report."""
    low = {
        f"linear_{budget}_labels_top1": f"{share:.0%} of the labels ({budget:,})"
        for share, budget in zip(LABEL_SHARES, budgets, strict=True)
    }
    return {score_name(split, name): title for name, title in (score_titles([]) | low).items()}


def _circumstances(config: CompareConfig, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "source": config.data.source,
        "split": "test" if config.evaluation.test else "validation",
        "shards": config.shards,
        "method": config.method,
        "steps": config.train.steps,
        "anchors_per_step": config.train.batch_size * config.train.accumulation,
        "synthetic_share": config.synthetic_share,
        "device": report["device"],
        "versions": report["versions"],
    }


def heading(circumstances: dict[str, Any]) -> str:
    """What was compared, in one paragraph of Markdown, from what `compare` returned."""
    versions = circumstances["versions"]
    return (
        f"{circumstances['source']}, {circumstances['method']}: {circumstances['steps']:,} steps of"
        f" {circumstances['anchors_per_step']:,} anchors in every training; beside a dataset,"
        f" {circumstances['synthetic_share']:.0%} of the anchors are synthetic (except with AdaInf). Top-1 accuracy on"
        f" the {circumstances['split']} split in percent, mean ± standard deviation over seeds. Machine:"
        f" {circumstances['device']}, torch {versions['torch']}, Python {versions['python']}."
    )
