"""What label reach tells beside the usual scores: over many encoders, and of classes withheld from training."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from synthdata.comparison import Summary, markdown_table
from synthdata.data import DataConfig, RealData, load_images
from synthdata.errors import MisuseError
from synthdata.evaluation import extract_features
from synthdata.evaluation.held_out_reach import held_out_reach
from synthdata.evaluation.labelled import check_labels
from synthdata.evaluation.score import score_encoder
from synthdata.models import Encoder
from synthdata.paths import PathText
from synthdata.ranges import NonNegativeInt, PositiveInt
from synthdata.run_files import read_run_file
from synthdata.training.contrast import build_contrast, train_contrast
from synthdata.training.contrast_config import ContrastConfig, ContrastSettings, Method, one_of_several
from synthdata.training.execution import start_accelerator
from synthdata.training.run_directory import RunDirectory, write_aside

DRAWS = 5
_REACH = ("excess", "reach", "k50", "k90", "worst_floor")


@dataclass
class LabelReachConfig(ContrastSettings):
    """Encoders of several methods, lengths and seeds, and label reach beside their scores.

    Attributes:
        data: labelled real images.
        methods: contrastive methods.
        steps: lengths of training; 0 stands for the encoder before training, whatever the method.
        seeds: trainings of each method and length, and encoders before training.
        withheld: names of classes, each left out of the training images of trainings of its own, by ``method`` at the
            greatest of ``steps``. Beside them stands the same training on as many images of all classes.
        withheld_seeds: trainings of each.
        reach_images: images of one draw; ten for each feature if not given.
        output: folder of the runs. Finished runs in it are kept.
    """

    data: DataConfig = field(default_factory=DataConfig)
    methods: list[Method] = field(default_factory=lambda: ["simclr", "mocov2", "byol", "barlowtwins", "vicreg"])
    steps: list[NonNegativeInt] = field(default_factory=lambda: [0, 100, 300])
    seeds: PositiveInt = 2
    withheld: list[str] = field(default_factory=list)
    withheld_seeds: PositiveInt = 5
    reach_images: PositiveInt | None = None
    output: PathText = "out/label-reach"


@dataclass(frozen=True)
class Job:
    """One encoder: ``withheld`` is the class left out of its training, "" for none but as few images."""

    method: Method
    steps: int
    seed: int
    withheld: str | None = None

    @property
    def folder(self) -> str:
        part = "" if self.withheld is None else f"-without-{self.withheld or 'none'}"
        return f"{self.method if self.steps else 'untrained'}-{self.steps}-steps-seed-{self.seed}{part}"


@dataclass(frozen=True)
class Measured:
    """What was measured of one encoder.

    Attributes:
        scores: top-1 accuracies in percent on the test split, by name.
        reach: means over draws, by field of ``LabelReach``; ``worst_floor`` is that of the least reachable class.
        floors: means over draws by class.
        recalls: share of each class's test images that a linear probe tells, in percent.
    """

    job: Job
    scores: dict[str, float]
    reach: dict[str, float]
    floors: dict[str, float]
    recalls: dict[str, float]


def label_reach_table(config: LabelReachConfig) -> str:
    """Measure, and leave report.md and report.json in ``config.output``; returns the tables.

    Raises:
        as ``measure_label_reach``.
    """
    measured = measure_label_reach(config)
    table, folder = as_markdown(measured), Path(config.output)
    write_aside(folder / "report.md", table)
    write_aside(folder / "report.json", json.dumps(as_json(measured), indent=2) + "\n")
    return table


def measure_label_reach(config: LabelReachConfig) -> list[Measured]:
    """Make and measure the encoders that ``config.output`` lacks; returns all.

    Raises:
        MisuseError: the images have no labels or are too few, or ``withheld`` names a class that they do not have.
        FailureError: a training diverges, or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C; the same command goes on.
    """
    accelerator = start_accelerator(_run_config(config, Job("simclr", 1, 0)))
    if accelerator.num_processes > 1:
        raise MisuseError(f"label reach is measured on one process, not {accelerator.num_processes}")
    data = load_images(config.data)
    check_labels(data)
    assert data.classes is not None
    for name in config.withheld:
        if name not in data.classes:
            raise MisuseError(f"withheld names {name}, which is no class of {data.source}: {', '.join(data.classes)}")
    jobs = list(plan_jobs(config))
    measured = []
    for number, job in enumerate(jobs, 1):
        print(f"[{number}/{len(jobs)}] {job.folder}", file=sys.stderr, flush=True)
        measured.append(_measured(config, data, job, accelerator.device))
    return measured


def plan_jobs(config: LabelReachConfig) -> Iterator[Job]:
    """All encoders, those with a withheld class last."""
    for seed in range(config.seeds):
        for steps in config.steps:
            methods: Sequence[Method] = config.methods if steps else [config.method]
            yield from (Job(method, steps, seed) for method in methods)
    if config.withheld:
        for seed in range(config.withheld_seeds):
            yield from (Job(config.method, max(config.steps), seed, name) for name in ("", *config.withheld))


def _measured(config: LabelReachConfig, data: RealData, job: Job, device: torch.device) -> Measured:
    run = RunDirectory(Path(config.output) / "runs" / job.folder)
    record = run.path / f"label-reach-{config.reach_images or 'default'}.json"
    run.open(_run_config(config, job), resume=True)
    if not record.is_file():
        encoder, scores = _trained(config, data, job, device)
        reached = held_out_reach(encoder, data, device, DRAWS, config.reach_images)
        if reached.refused:
            raise MisuseError(f"label reach cannot be measured on {data.source}: {reached.refused}")
        floors = {name: floor.mean for name, floor in reached.floors().items()}
        reach = {name: reached.summary(name).mean for name in ("chance", *_REACH[:-1])}
        reach |= {"worst_floor": max(floors.values())}
        content = {"scores": scores, "reach": reach, "floors": floors, "recalls": _recalls(encoder, data, device)}
        write_aside(record, json.dumps(content, indent=2) + "\n")
    return Measured(job, **read_run_file(record, dict[str, Any]))


def _trained(
    config: LabelReachConfig, data: RealData, job: Job, device: torch.device
) -> tuple[Encoder, dict[str, float]]:
    """The encoder of a job, and its scores."""
    run = _run_config(config, job)
    images = replace(data, train=data.train.subset(_kept(data, job.withheld)))
    if job.steps == 0:
        accelerator = start_accelerator(run)
        started = replace(run, train=replace(run.train, steps=1))
        encoder = build_contrast(started, images, None, accelerator).method.encoder
        settings = config.evaluation
        return encoder, score_encoder(encoder, data, device, settings.limit, settings.labels, settings.test)
    report = train_contrast(run, images, deadline=math.inf)
    encoder = Encoder.from_pretrained(Path(run.output_dir) / "encoder").to(device)
    return encoder, {name: value for name, value in report.items() if name.endswith("_top1")}


def _kept(data: RealData, withheld: str | None) -> torch.Tensor:
    """Positions of the training images that a job sees."""
    labels, classes = data.train.labels, data.classes
    assert labels is not None
    assert classes is not None
    if withheld is None:
        return torch.arange(len(labels))
    if not withheld:
        # their order is random, so that the first are a sample of all classes
        return torch.arange(len(labels) - len(labels) // len(classes))
    return (labels != classes.index(withheld)).nonzero()[:, 0]


def _recalls(encoder: Encoder, data: RealData, device: torch.device) -> dict[str, float]:
    """Recall of each class on the test split, in percent, by a linear probe on the labelled images."""
    assert data.classes is not None
    labels, truth = data.labelled.labels, data.test.labels
    assert labels is not None
    assert truth is not None
    limit = 2000
    features = extract_features(encoder, data.labelled, device, limit).numpy()
    scaler = StandardScaler().fit(features)
    probe = LogisticRegression(C=0.1, max_iter=200, tol=1e-3).fit(scaler.transform(features), labels[:limit].numpy())
    predicted = torch.from_numpy(probe.predict(scaler.transform(extract_features(encoder, data.test, device).numpy())))
    return {
        name: 100 * float((predicted == truth)[truth == label].double().mean())
        for label, name in enumerate(data.classes)
        if bool((truth == label).any())
    }


def _run_config(config: LabelReachConfig, job: Job) -> ContrastConfig:
    return replace(
        one_of_several(config, config.data, job.seed, Path(config.output) / "runs" / job.folder),
        method=job.method,
        train=replace(config.train, steps=max(1, job.steps)),
    )


def correlations(measured: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Spearman's rank correlation of each figure of label reach with each score, over encoders that saw all classes."""
    whole = [each for each in measured if each.job.withheld is None]
    scores = [name for name in whole[0].scores if not name.startswith("validation_")]
    return {
        figure: {
            score: _rank_correlation([each.reach[figure] for each in whole], [each.scores[score] for each in whole])
            for score in scores
        }
        for figure in _REACH
    }


def _rank_correlation(first: list[float], second: list[float]) -> float:
    """NaN where all values of one are equal."""
    constant = len(set(first)) == 1 or len(set(second)) == 1
    return math.nan if constant else float(spearmanr(first, second).statistic)


def as_markdown(measured: Sequence[Measured]) -> str:
    """The tables of encoders, of correlations and of withheld classes."""
    whole = [each for each in measured if each.job.withheld is None]
    parts = [_encoders(whole)]
    if len(whole) > 2:
        by_figure = correlations(measured)
        header = ["Spearman with", *next(iter(by_figure.values()))]
        rows = [[figure, *(f"{value:+.3f}" for value in row.values())] for figure, row in by_figure.items()]
        parts.append(f"{len(whole)} encoders:\n\n{markdown_table(header, rows)}")
    if withheld := _withheld(measured):
        parts.append(withheld)
    return "\n".join(parts)


def _encoders(measured: Sequence[Measured]) -> str:
    scores = [name for name in measured[0].scores if not name.startswith("validation_")]
    header = ["method", "steps", "seed", *scores, *_REACH, "chance"]
    rows = [
        [
            each.job.method if each.job.steps else "–",
            str(each.job.steps),
            str(each.job.seed),
            *(f"{each.scores[name]:.2f}" for name in scores),
            *(f"{each.reach[name]:.3f}" for name in (*_REACH, "chance")),
        ]
        for each in measured
    ]
    return markdown_table(header, rows)


def _withheld(measured: Sequence[Measured]) -> str:
    """What withholding a class changes of it and of the others, over seeds; empty without withheld classes."""
    by_job: dict[tuple[str, int], Measured] = {
        (each.job.withheld, each.job.seed): each for each in measured if each.job.withheld is not None
    }
    rows: list[list[str]] = []
    for name in dict.fromkeys(withheld for withheld, _ in by_job if withheld):
        pairs = [(by_job[name, seed], by_job["", seed]) for withheld, seed in by_job if withheld == name]
        rows.append([name, *_changes(name, pairs)])
    header = ["withheld", "its floor", "other floors", "its recall, points", "other recalls", "linear_top1", "excess"]
    told = (
        "Changes against as many images of all classes, same seed: mean ± standard deviation (seeds in which it rises)"
    )
    return f"{told}\n\n{markdown_table(header, rows)}" if rows else ""


def _changes(name: str, pairs: Sequence[tuple[Measured, Measured]]) -> list[str]:
    def others(values: dict[str, float]) -> float:
        return float(np.mean([value for other, value in values.items() if other != name]))

    changes: dict[str, list[float]] = {
        "floor": [without.floors.get(name, math.nan) - base.floors.get(name, math.nan) for without, base in pairs],
        "other floors": [others(without.floors) - others(base.floors) for without, base in pairs],
        "recall": [without.recalls.get(name, math.nan) - base.recalls.get(name, math.nan) for without, base in pairs],
        "other recalls": [others(without.recalls) - others(base.recalls) for without, base in pairs],
        "linear": [without.scores["linear_top1"] - base.scores["linear_top1"] for without, base in pairs],
        "excess": [without.reach["excess"] - base.reach["excess"] for without, base in pairs],
    }
    return [_change(values) for values in changes.values()]


def _change(values: list[float]) -> str:
    digits = 3 if max(abs(value) for value in values) < 1 else 2
    mean, std = Summary.of(values).mean, Summary.of(values).std
    return f"{mean:+.{digits}f} ± {std:.{digits}f} ({sum(value > 0 for value in values)} of {len(values)})"


def as_json(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Everything measured of each encoder."""
    return [
        {"encoder": each.job.folder, **{f.name: getattr(each, f.name) for f in fields(each)[1:]}} for each in measured
    ]
