"""What better positives, or more real images, would give: the most that a generator could gain, measured first."""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from accelerate import Accelerator
from torch import Tensor

from synthdata.comparison import BASELINE, Comparison, Summary, Trained, as_json, as_markdown
from synthdata.comparison.plots import save_plots
from synthdata.data import DataConfig, RealData, load_images, stream, to_float
from synthdata.errors import MisuseError
from synthdata.evaluation.labelled import check_labels
from synthdata.evaluation.score import check_budgets, score_name, score_titles
from synthdata.objectives import alignment_loss
from synthdata.paths import PathText
from synthdata.ranges import NonNegativeFloat, PositiveInt, Seed
from synthdata.rng import BatchRandom, generator_at
from synthdata.training.contrast import ContrastTraining, build_contrast, train_contrast
from synthdata.training.contrast_config import ContrastConfig, ContrastSettings, one_of_several
from synthdata.training.execution import execute, finished_report, start_accelerator
from synthdata.training.method_scores import save_and_score
from synthdata.training.run_directory import RunDirectory, write_aside, writing

Positives = Literal[
    "real", "noisy_views", "more_images", "third_view", "neighbours", "class_alignment", "class_positives"
]
ORACLES = ("class_alignment", "class_positives")
WORTH_A_GENERATOR = 2.0
"""Points of headroom under which no generator is worth tuning: half of them would be within the spread of seeds."""


@dataclass
class HeadroomConfig(ContrastSettings):
    """The most that a generator could gain on these images: SimCLR with other positives, and on more images.

    Of the settings of contrastive training, method, shards, kinds and mix have no use here.

    Attributes:
        data: labelled real images. Labels serve the scores, and the two oracles, which tell what perfect positives
            would give and are no way to train.
        limits: numbers of real images; all if not given.
        positives: real: two views of an image. noisy_views: these with Gaussian noise of views.noise_sigma on eight of
            ten, unless views.noise_probability is set: what a generator has to beat. more_images: real on more images.
            third_view: a third view of the image pulled to the first. neighbours: NNCLR, what other real images give
            without a generator. class_alignment: another image of the class pulled to the first view. class_positives:
            all of the class in the batch are positives, and none are negatives (SupCon).
        more: times as many images as the limit, of more_images.
        alignment_weight: of the third view, against NT-Xent.
        seed: the first seed; the others follow it.
        seeds: number of seeds.
        output: folder of the runs, the report and the plots. Finished runs in it are kept.
    """

    data: DataConfig = field(default_factory=DataConfig)
    limits: list[PositiveInt] = field(default_factory=list)
    positives: list[Positives] = field(default_factory=lambda: list(get_args(Positives)))
    more: PositiveInt = 16
    alignment_weight: NonNegativeFloat = 1.0
    seed: Seed = 0
    seeds: PositiveInt = 3
    output: PathText = "out/headroom"


@dataclass(frozen=True)
class HeadroomJob:
    """One training: positives, a number of images told in the table, those trained on, and a seed."""

    positives: Positives
    limit: int
    images: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.positives}-{self.limit}-images-seed-{self.seed}"


class OracleTraining(ContrastTraining):
    """SimCLR with positives that the images' labels tell, or with a third view.

    Args:
        positives: third_view, class_alignment or class_positives.
        weight: of the third view.
    """

    def __init__(
        self,
        config: ContrastConfig,
        data: RealData,
        accelerator: Accelerator,
        positives: Positives,
        weight: float,
    ) -> None:
        self.positives, self.weight = positives, weight
        labels = data.train.labels
        assert labels is not None
        self.labels = labels
        super().__init__(config, data, None, build_contrast(config, data, None, accelerator).method, accelerator)

    def start_at(self, iteration: int) -> None:
        super().start_at(iteration)
        assert self.real is not None
        step = iteration * self.plan.accumulation
        self.rows = self._indices(len(self.real.train), "real", self.plan.real, step)
        if self.positives == "class_positives":
            return
        thirds = self.rows
        if self.positives == "class_alignment":
            thirds = (self.class_mates(rows, number) for number, rows in enumerate(thirds, step))
        workers = self.config.data.workers if self.config.data else 0
        self.third_batches = stream(self.real.train, thirds, self.accelerator.device, workers)

    def loss(self, random: BatchRandom) -> Tensor:
        view_1, view_2 = self._views(random)
        if self.positives == "class_positives":
            return self.method.loss(view_1, view_2, groups=self.labels[next(self.rows)].to(view_1.device))
        images = to_float(next(self.third_batches))
        view = self.real_view
        view_3 = view.apply(images, random.rows("third view", len(images), view.draw))
        with self.method.autocast():
            first, second, third = self.method.encoder(torch.cat([view_1, view_2, view_3])).float().chunk(3)
        return self.method.objective(first, second) + self.weight * alignment_loss(first, third)

    def class_mates(self, rows: Tensor, step: int) -> Tensor:
        """Another image of each row's class; the row itself where its class has no other."""
        mates = rows.clone()
        generator = generator_at(self.config.seed, "class mates", step)
        for place, row in enumerate(rows.tolist()):
            others = (self.labels == self.labels[row]).nonzero().flatten()
            others = others[others != row]
            if len(others):
                mates[place] = others[torch.randint(len(others), (), generator=generator)]
        return mates


def run_headroom(config: HeadroomConfig) -> str:
    """Make the trainings that ``config.output`` lacks; returns the report, which is there as report.md, with plots.

    Raises:
        MisuseError: there are several processes, the images do not fit, or the folder holds runs with other settings.
        FailureError: a training diverges, or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C; the same command goes on.
    """
    accelerator = start_accelerator(run_config(config, HeadroomJob("real", 0, 0, config.seed)))
    if accelerator.num_processes > 1:
        raise MisuseError("headroom is measured on one process: start it without others")
    data = load_images(config.data)
    limits = _limits(config, data)
    jobs = list(headroom_jobs(config, limits, len(data.train)))
    reports = []
    for number, job in enumerate(jobs, 1):
        print(f"[{number}/{len(jobs)}] {job.positives}, {job.images:,} images, seed {job.seed}", flush=True)
        reports.append(_train(config, job, data, accelerator))
    measures = _measures(config)
    runs = [
        Trained(_title(config, job), job.limit, job.seed, {measure: report[measure] for measure in measures})
        for job, report in zip(jobs, reports, strict=True)
    ]
    comparison, folder = Comparison(runs, measures), Path(config.output)
    verdict = headroom_verdict(comparison)
    text = f"{_heading(config, reports[0])}\n\n{as_markdown(comparison)}\n{verdict}"
    circumstances = {
        "source": config.data.source,
        "split": "test" if config.evaluation.test else "validation",
        "shards": [],
        "method": "simclr",
        "steps": config.train.steps,
        "anchors_per_step": config.train.batch_size * config.train.accumulation,
        "device": reports[0]["device"],
        "versions": reports[0]["versions"],
        "verdict": verdict,
    }
    with writing(folder):
        save_plots(comparison, folder)
    write_aside(folder / "report.json", json.dumps(circumstances | as_json(comparison), indent=2) + "\n")
    write_aside(folder / "report.md", text)
    return text


def headroom_jobs(config: HeadroomConfig, limits: list[int], available: int) -> Iterator[HeadroomJob]:
    """All trainings, one seed of all first; more images are as many as there are, where those are fewer.

    Those that would be ``real`` again are left out.
    """
    for seed in range(config.seed, config.seed + config.seeds):
        for limit in limits:
            for positives in config.positives:
                images = min(config.more * limit, available) if positives == "more_images" else limit
                as_real = {"more_images": images == limit, "noisy_views": config.views.noise_probability > 0}
                if not as_real.get(positives):
                    yield HeadroomJob(positives, limit, images, seed)


def headroom_verdict(comparison: Comparison) -> str:
    """For each number of images, what the best oracle and the ways without labels give over `real`, and what to do."""
    lines = []
    for images in comparison.images(BASELINE):
        for measure, title in comparison.measures.items():
            by_way = {way: comparison.gains(way, images, measure) for way in comparison.ways}
            gains = {way: Summary.of(by_seed.values()) for way, by_seed in by_way.items() if by_seed}
            oracles = {way: gain for way, gain in gains.items() if way in ORACLES}
            if not oracles:
                continue
            best = max(oracles, key=lambda way: oracles[way].mean)
            room = oracles[best]
            told = f"{images:,} images, {title}: perfect positives give {room.mean:+.2f} points ({best})"
            for way, gain in gains.items():
                if way not in ORACLES:
                    told += f"; {way} {gain.mean:+.2f}"
            worth = room.mean >= WORTH_A_GENERATOR and min(room.values) > 0
            told += (
                f". A generator of positives can gain at most that, and half of it is {room.mean / 2:.2f}."
                if worth
                else f". Under {WORTH_A_GENERATOR:g} points, or not in every seed: no generator is worth tuning for it."
            )
            lines.append(f"- {told}\n")
    return "".join(lines) or "No oracle was trained, so nothing is known of the headroom.\n"


def _train(config: HeadroomConfig, job: HeadroomJob, data: RealData, accelerator: Accelerator) -> dict[str, Any]:
    run = run_config(config, job)
    part = replace(data, train=data.train.subset(torch.arange(job.images)))
    if job.positives in ("third_view", *ORACLES):
        report = _train_oracle(run, part, job.positives, config.alignment_weight, accelerator)
    else:
        report = train_contrast(run, part, deadline=math.inf)
    shutil.rmtree(RunDirectory(Path(run.output_dir)).checkpoints, ignore_errors=True)
    return report


def _train_oracle(
    run: ContrastConfig, data: RealData, positives: Positives, weight: float, accelerator: Accelerator
) -> dict[str, Any]:
    if (report := finished_report(run, accelerator)) is not None:
        return report
    training = OracleTraining(run, data, accelerator, positives, weight)

    def finish(directory: RunDirectory) -> dict[str, Any]:
        scores = save_and_score(training.method, directory, data, run.evaluation, accelerator.device)
        return {"positives": positives, "seed": run.seed, "images_seen": training.plan.images} | scores

    return execute(training, run, accelerator, finish, deadline=math.inf)


def run_config(config: HeadroomConfig, job: HeadroomJob) -> ContrastConfig:
    data = replace(config.data, limit=job.images or None)
    run = one_of_several(config, data, job.seed, Path(config.output) / "runs" / job.name)
    if job.positives == "noisy_views":
        run = replace(run, views=run.views.noisy())
    return replace(run, method="nnclr" if job.positives == "neighbours" else "simclr")


def _limits(config: HeadroomConfig, data: RealData) -> list[int]:
    check_labels(data)
    check_budgets(config.evaluation.labels, config.evaluation.limit, "evaluation.limit")
    limits = sorted(set(config.limits)) or [len(data.train)]
    if limits[-1] > len(data.train):
        raise MisuseError(f"limits asks for {limits[-1]:,} images, and {data.source} has {len(data.train):,}")
    if limits[0] < config.train.batch_size:
        raise MisuseError(f"{limits[0]:,} images are fewer than train.batch_size {config.train.batch_size}: lower it")
    return limits


def _title(config: HeadroomConfig, job: HeadroomJob) -> str:
    return f"real on {config.more} × as many" if job.positives == "more_images" else job.positives


def _measures(config: HeadroomConfig) -> dict[str, str]:
    split = "test" if config.evaluation.test else "validation"
    return {score_name(split, name): title for name, title in score_titles(config.evaluation.labels).items()}


def _heading(config: HeadroomConfig, report: dict[str, Any]) -> str:
    split = "test" if config.evaluation.test else "validation"
    return (
        f"{config.data.source}, {config.encoder.backbone}: {config.train.steps:,} steps of"
        f" {config.train.batch_size * config.train.accumulation:,} images in every training. class_alignment and"
        " class_positives read the labels of the images: they tell what perfect positives would give, and are no way to"
        f" train. Top-1 accuracy on the {split} split in percent, mean ± standard deviation over seeds. Machine:"
        f" {report['device']}, torch {report['versions']['torch']}."
    )
