"""The arms of the method side by side over seeds and numbers of real images, worked off in slices of time."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from accelerate import Accelerator

from synthdata.benchmarks.headline_table import Results, Row, write_results
from synthdata.data import RealData, load_images
from synthdata.errors import Interrupted, MisuseError
from synthdata.paths import PathText
from synthdata.ranges import PositiveFloat, PositiveInt, UnitInterval
from synthdata.settings import settings_of
from synthdata.training.collective import largest_of_processes, local_main_process_first, on_main_process
from synthdata.training.config import Arm, JointConfig
from synthdata.training.execution import start_accelerator
from synthdata.training.loop import OutOfTime
from synthdata.training.pretrain import pretrain_generator
from synthdata.training.run_directory import RunDirectory
from synthdata.training.train import build_models, train_joint
from synthdata.views import ViewConfig

HeadlineArm = Literal["real", "three_views", "noisy_views", "inflate", "adainf", "hard", "pairs", "both", "anchored"]
WITHOUT_GENERATOR = ("real", "three_views", "noisy_views")
GENERATOR = "generator"

RESERVE = 0.1
"""Share of the budget that is kept for what is not interrupted: start, compilation, scores."""

_ADAINF_SHARE = 2 / 3
"""A million generated images beside ten times the 50,000 of CIFAR-10 (Wang et al., ICLR 2024)."""


@dataclass
class HeadlineConfig(JointConfig):
    """Arms at equal encoder steps. A seed's arms start from one generator, which is pre-trained once; with
    generator.pretrained, as for a stock pipeline, those of all seeds start from that one.

    Settings of a single run apply to all arms; of these, arm, resume, data.exclude and emission have no use
    here.

    Attributes:
        seed: the first seed; the others follow it.
        budget_minutes: after this time a call has saved and stopped; the same command goes on.
        preset: "smoke" reads sizes for two CPU cores over the configuration files, before the flags.
        seeds: number of seeds; 3, and 1 for smoke, if not given.
        arms: rows of the table. "three_views", real with three views, and "noisy_views", real with Gaussian noise of
            views.noise_sigma on eight views of ten, need no generator: they are the controls that the others are
            compared with. "adainf" is inflate with two thirds of the anchors synthetic and weak views of all images,
            after the Adaptive Inflation of Wang et al. (ICLR 2024). "anchored" needs generator.kind diffusion.
        fractions: shares of the real images at which ``improved`` is compared with real; 0.1, 0.2 and 0.5, and 0.5 for
            smoke, if not given. The generator of a share is pre-trained on that share.
        improved: the arm of the data efficiency.
        split: "validation" while settings are chosen; "test" for the final figures.
        output: folder of the runs and the table; named after output_dir, preset and split if not given.
    """

    budget_minutes: PositiveFloat = 9.0
    preset: Literal["full", "smoke"] = "full"
    seeds: PositiveInt | None = None
    arms: list[HeadlineArm] = field(default_factory=lambda: ["real", "inflate", "adainf", "hard", "pairs", "both"])
    fractions: list[UnitInterval] | None = None
    improved: HeadlineArm = "both"
    split: Literal["validation", "test"] = "test"
    output: PathText | None = None

    @property
    def folder(self) -> Path:
        """Where the runs and the table are."""
        marks = ["headline", *(["smoke"] if self.preset == "smoke" else []), *([] if self.split == "test" else ["val"])]
        return Path(self.output or "-".join([self.output_dir, *marks]))


@dataclass(frozen=True)
class Job:
    """One training: an arm, or the pre-training of the ``GENERATOR`` that the other arms of its seed start from."""

    arm: str
    seed: int
    images: int

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.images}-images-seed-{self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    Attributes:
        text: the table so far and what is left, to print; empty but in the first process.
        exit_code: of the program; 0 unless a signal ended the call.
    """

    text: str
    exit_code: int


def plan_jobs(config: HeadlineConfig, images: int) -> list[Job]:
    """All trainings in the order in which they are made: one seed of all arms first, the data efficiency last.

    Args:
        images: real images that there are.
    """
    seeds = range(config.seed, config.seed + (config.seeds or {"full": 3, "smoke": 1}[config.preset]))
    shares = {"full": [0.1, 0.2, 0.5], "smoke": [0.5]}[config.preset] if config.fractions is None else config.fractions
    counts = sorted({round(share * images) for share in shares})
    wanted = [Job(arm, seed, images) for seed in seeds for arm in config.arms]
    compared = ("real", config.improved)
    wanted += [Job(arm, seed, count) for seed in seeds for count in counts for arm in compared]
    jobs: list[Job] = []
    for job in wanted:
        if job.arm not in WITHOUT_GENERATOR and config.generator.pretrained is None:
            jobs.append(Job(GENERATOR, job.seed, job.images))
        jobs.append(job)
    return list(dict.fromkeys(jobs))


def job_config(config: HeadlineConfig, job: Job) -> JointConfig:
    """The run that a job is."""
    base = JointConfig(**settings_of(config, JointConfig))
    run = replace(
        base,
        arm=_trained_arm(job),
        seed=job.seed,
        output_dir=str(config.folder / job.name),
        resume=True,
        data=replace(base.data, limit=job.images),
        checkpoint=replace(base.checkpoint, keep=1),
        evaluation=replace(base.evaluation, test=config.split == "test"),
    )
    if job.arm == "adainf":
        weak = ViewConfig.weak()
        views = replace(run.views, crop_scale=weak.crop_scale, jitter_probability=weak.jitter_probability)
        run = replace(run, views=views, synthetic=replace(run.synthetic, share=_ADAINF_SHARE))
    if job.arm == "three_views":
        run = replace(run, train=replace(run.train, views=3))
    if job.arm == "noisy_views":
        run = replace(run, views=run.views.noisy())
    if job.arm not in (*WITHOUT_GENERATOR, GENERATOR) and base.generator.pretrained is None:
        pretrained = config.folder / Job(GENERATOR, job.seed, job.images).name / "generator"
        run = replace(run, generator=replace(run.generator, pretrained=str(pretrained)))
    return run


def _trained_arm(job: Job) -> Arm:
    """The arm of the joint training that a job is."""
    if job.arm in WITHOUT_GENERATOR:
        return "real"
    return next((arm for arm in get_args(Arm) if arm == job.arm), "inflate")


def run_headline(config: HeadlineConfig) -> Outcome:
    """Go on with the trainings of ``config.folder`` until all are done or the budget is spent.

    Raises:
        MisuseError: if the settings cannot be met, or the folder holds trainings with others.
        FailureError: if a training diverges or the disk fails.
    """
    began = time.monotonic()
    _check(config)
    accelerator = start_accelerator(config)
    sets = _DataSets(config, accelerator)
    whole = sets.load(config.data.limit)
    if whole.classes is None:
        raise MisuseError(f"{config.data.source} has no labels: the table needs them for its scores")
    jobs = plan_jobs(config, len(whole.train))
    settings = job_config(config, Job("real", 0, len(whole.train)))
    if config.generator.pretrained is not None:
        build_models(replace(settings, arm="inflate"), whole)  # one that does not fit is told now, not after hours
    on_main_process(partial(RunDirectory(config.folder).open, settings, resume=True), accelerator)
    exit_code = 0
    try:
        for job in _undone(jobs, config, began):
            _run(job, config, sets.load(job.images), _deadline(config, jobs, began))
    except OutOfTime:
        pass
    except Interrupted as interrupted:
        exit_code = interrupted.exit_code
    results = _results(config, jobs, len(whole.train))
    return Outcome(on_main_process(partial(write_results, results, config.folder), accelerator) or "", exit_code)


def _check(config: HeadlineConfig) -> None:
    if config.arm != JointConfig.arm:
        raise MisuseError(f"arm is {config.arm}: the table holds several arms; choose them with --arms")
    if config.data.exclude:
        raise MisuseError("data.exclude is set, and the table counts images by data.limit: leave it out")
    if "anchored" in config.arms and config.generator.kind != "diffusion":
        raise MisuseError(f"arms has anchored, and generator.kind is {config.generator.kind}: set it to diffusion")
    if "noisy_views" in config.arms and config.views.noise_probability > 0:
        raise MisuseError("arms has noisy_views, and all views have noise by views.noise_probability: leave one out")


class _DataSets:
    """The real images, loaded once for each number of them."""

    def __init__(self, config: HeadlineConfig, accelerator: Accelerator) -> None:
        self._config, self._accelerator = config.data, accelerator
        self._loaded: dict[int | None, RealData] = {}

    def load(self, limit: int | None) -> RealData:
        if limit not in self._loaded:
            with local_main_process_first(self._accelerator):
                data = load_images(replace(self._config, limit=limit))
            self._loaded |= {limit: data, len(data.train): data}
        return self._loaded[limit]


def _undone(jobs: list[Job], config: HeadlineConfig, began: float) -> Iterator[Job]:
    """The jobs without a report, for as long as there is time to begin one."""
    for job in jobs:
        if _run_directory(config, job).report.exists():
            continue
        if largest_of_processes(time.monotonic() >= _deadline(config, jobs, began)):
            return
        yield job


def _run(job: Job, config: HeadlineConfig, data: RealData, deadline: float) -> None:
    settings = job_config(config, job)
    if job.arm == GENERATOR:
        report = pretrain_generator(settings, data, deadline)
    else:
        report = train_joint(settings, data, deadline)
    if report:
        shutil.rmtree(_run_directory(config, job).checkpoints)


def _deadline(config: HeadlineConfig, jobs: list[Job], began: float) -> float:
    """When a training has to stop, so that what follows it still ends within the budget."""
    budget = 60 * config.budget_minutes
    longest = max((_scoring_seconds(_run_directory(config, job)) for job in jobs), default=0.0)
    reserve = max(RESERVE * budget, 1.2 * longest)
    if reserve >= budget:
        raise MisuseError(
            f"budget_minutes is {config.budget_minutes}: the scores of one run alone take {longest:.0f} seconds here;"
            f" give at least {2 * longest / 60:.1f}"
        )
    return began + budget - reserve


def _scoring_seconds(run: RunDirectory) -> float:
    """Seconds between the end of a run's training, when it saves the encoder, and its report."""
    saved = run.encoder / "config.json"
    if not run.report.exists() or not saved.exists():
        return 0.0
    return run.report.stat().st_mtime - saved.stat().st_mtime


def _run_directory(config: HeadlineConfig, job: Job) -> RunDirectory:
    return RunDirectory(config.folder / job.name)


def _results(config: HeadlineConfig, jobs: list[Job], images: int) -> Results:
    finished = [job for job in jobs if _run_directory(config, job).report.exists()]
    left = [job.name for job in jobs if job not in finished]
    budgets = config.evaluation.labels
    rows = [
        Row.of(job.arm, job.seed, job.images, _run_directory(config, job).report, config.split, budgets)
        for job in finished
    ]
    return Results(
        source=config.data.source,
        split=config.split,
        images=images,
        steps=config.train.steps,
        batch_size=config.train.batch_size * config.train.accumulation,
        budgets=budgets,
        controls=[arm for arm in WITHOUT_GENERATOR if arm in config.arms and arm != "real"],
        runs=[row for row in rows if row.arm != GENERATOR],
        generators=[row for row in rows if row.arm == GENERATOR],
        left=left,
    )
