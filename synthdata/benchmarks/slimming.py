"""A slim encoder trained within its host, beside one of its width trained alone and one cut out after training."""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from synthdata.benchmarks.slimming_table import SlimmingResult, as_markdown, save_plot
from synthdata.data import DataConfig, Images, RealData, load_images, to_float
from synthdata.errors import MisuseError
from synthdata.evaluation import score_encoder
from synthdata.evaluation.features import extract_features, map_images
from synthdata.evaluation.score import score_name
from synthdata.models import Encoder, cost_of, cut_by_norm, estimate_statistics
from synthdata.objectives import cross_correlation
from synthdata.paths import PathText
from synthdata.ranges import NonNegativeFloat, PositiveInt, Seed
from synthdata.run_files import read_run_file
from synthdata.training import train_contrast
from synthdata.training.contrast import build_contrast
from synthdata.training.contrast_config import ContrastConfig, ContrastSettings, one_of_several
from synthdata.training.execution import start_accelerator
from synthdata.training.run_directory import RunDirectory, write_aside, writing

SlimmingArm = Literal[
    "target", "target_equal_operations", "host", "cut", "sacl", "sacl_xd", "sacl_xd_log", "sacl_xd_random"
]
SLIMMED = ("sacl", "sacl_xd", "sacl_xd_log", "sacl_xd_random")


@dataclass
class SlimmingBenchmarkConfig(ContrastSettings):
    """Small encoders, trained in eight ways on the same images.

    The encoder of the settings is the host; its width times method_settings.slim_ratio is that of the small encoders.
    Of the settings of contrastive training, method, kinds, shares and shards have no use here.

    Attributes:
        data: labelled real images; the labels serve the scores alone.
        seed: the first seed; the others follow it.
        seeds: number of seeds.
        arms: Barlow Twins at the small width, with equal steps and with as many steps as the operations of sacl_xd pay
            for; at the host's width (host), and cut after training (cut); the slim encoder trained within its host,
            without cross-distillation (sacl) and with it (sacl_xd), with the log loss, and with random channels.
        log_weight: method_settings.distillation of the log loss.
        output: folder of the runs, the table and the plot. Finished runs in it are kept.
    """

    data: DataConfig = field(default_factory=DataConfig)
    seed: Seed = 0
    seeds: PositiveInt = 5
    arms: list[SlimmingArm] = field(default_factory=lambda: list(get_args(SlimmingArm)))
    log_weight: NonNegativeFloat = 1e-3
    output: PathText = "out/slimming"


@dataclass(frozen=True)
class SlimmingJob:
    """One arm with one seed."""

    arm: SlimmingArm
    seed: int

    @property
    def name(self) -> str:
        """Of its folder and its file."""
        return f"{self.arm}-seed-{self.seed}"


def slimming_jobs(config: SlimmingBenchmarkConfig) -> Iterator[SlimmingJob]:
    """All trainings, one seed of all arms first."""
    for seed in range(config.seed, config.seed + config.seeds):
        yield from (SlimmingJob(arm, seed) for arm in config.arms)


def run_slimming_job(config: SlimmingBenchmarkConfig, job: SlimmingJob, data: RealData) -> dict[str, Any]:
    """Train and measure what ``job`` asks for, unless its file is there.

    Returns:
        Steps; operations of the training; of ``encoder``, and of ``host`` where there is one, parameters, operations
        for one image, linear and k-NN accuracy in percent, and effective rank; and how the projections of the two
        correlate on images that neither was trained on.

    Raises:
        MisuseError: the images or the settings do not fit.
        FailureError: a training diverges, or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C; the same command goes on.
    """
    path = Path(config.output) / "results" / f"{job.name}.json"
    if path.exists():
        return dict(read_run_file(path, SlimmingResult))
    accelerator = start_accelerator(_run_config(config, job, config.train.steps))
    steps, operations = _training_cost(config, job, data, accelerator)
    run = _run_config(config, job, steps)
    train_contrast(run, replace(data, classes=None), deadline=math.inf)  # scored below, as all arms are
    folder = RunDirectory(Path(run.output_dir))
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    encoders = {"encoder": Encoder.from_pretrained(folder.encoder)}
    if job.arm in SLIMMED:
        encoders["host"] = Encoder.from_pretrained(folder.path / "host")
    if job.arm == "cut":
        host = encoders["encoder"]
        encoders = {"encoder": cut_by_norm(host, config.method_settings.slim_ratio), "host": host}
        estimate_statistics(encoders["encoder"], _batches(data.train, config.train.batch_size))
    measured = {name: _measure(encoder, data, config) for name, encoder in encoders.items()}
    result: dict[str, Any] = {
        "arm": job.arm,
        "seed": job.seed,
        "steps": steps,
        "training_operations": operations,
    } | measured
    if "host" in encoders:
        result |= _agreement(encoders["host"], encoders["encoder"], _held_out(config, data))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, json.dumps(result, indent=2) + "\n")
    return result


def run_slimming(config: SlimmingBenchmarkConfig) -> str:
    """Make the trainings that ``config.output`` lacks; returns the table, which is there as table.md, with table.png.

    Raises:
        MisuseError: there are several processes, the images do not fit, or the folder holds runs with other settings.
        FailureError: a training diverges, or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C; the same command goes on.
    """
    settings = _run_config(config, SlimmingJob("host", config.seed), config.train.steps)
    if start_accelerator(settings).num_processes > 1:
        raise MisuseError("small encoders are measured on one process: start it without others")
    data = load_slimming_data(config)
    RunDirectory(Path(config.output)).open(replace(settings, seed=0), resume=True)
    results = [run_slimming_job(config, job, data) for job in slimming_jobs(config)]
    folder = Path(config.output)
    text = as_markdown(results)
    write_aside(folder / "table.md", text)
    with writing(folder / "table.png"):
        save_plot([(config.data.source, results)], folder / "table.png")
    return text


def load_slimming_data(config: SlimmingBenchmarkConfig) -> RealData:
    """The images that all arms share.

    Raises:
        MisuseError: they have no labels, or the encoder's width cannot be chosen.
    """
    if config.encoder.backbone not in ("resnet8", "resnet14"):
        raise MisuseError(f"encoder.backbone is {config.encoder.backbone}, whose width is fixed: choose resnet8 or 14")
    data = load_images(config.data)
    if data.classes is None:
        raise MisuseError(f"{config.data.source} has no labels: the table needs them for its scores")
    return data


def _run_config(config: SlimmingBenchmarkConfig, job: SlimmingJob, steps: int) -> ContrastConfig:
    settings, encoder = config.method_settings, config.encoder
    if job.arm.startswith("target"):
        encoder = replace(encoder, width=round(encoder.width * settings.slim_ratio))
    if job.arm == "sacl":
        settings = replace(settings, distillation=0.0)
    if job.arm == "sacl_xd_log":
        settings = replace(settings, distillation_loss="log", distillation=config.log_weight)
    if job.arm == "sacl_xd_random":
        settings = replace(settings, slim_by="random")
    # the arm that is cut after training is the host, trained once
    folder = SlimmingJob("host", job.seed).name if job.arm == "cut" else job.name
    return replace(
        one_of_several(config, config.data, job.seed, Path(config.output) / "runs" / folder),
        method="sacl_xd" if job.arm in SLIMMED else "barlowtwins",
        method_settings=settings,
        encoder=encoder,
        train=replace(config.train, steps=steps),
    )


def _training_cost(
    config: SlimmingBenchmarkConfig, job: SlimmingJob, data: RealData, accelerator: Accelerator
) -> tuple[int, int]:
    """Steps of a job, and the operations of all of them."""

    def of_one_step(arm: SlimmingArm, warmup: float) -> int:
        run = _run_config(config, SlimmingJob(arm, job.seed), config.train.steps)
        run = replace(run, method_settings=replace(run.method_settings, slim_warmup=warmup))
        with FlopCounterMode(display=False) as counter:
            build_contrast(run, data, None, accelerator).run(0)
        return counter.get_total_flops()

    def of_all_steps(arm: SlimmingArm) -> int:
        warm = math.ceil(config.method_settings.slim_warmup * config.train.steps)
        return warm * of_one_step(arm, 0.5) + (config.train.steps - warm) * of_one_step(arm, 0.0)

    if job.arm == "target_equal_operations":
        one = of_one_step("target", 0.0)
        steps = round(of_all_steps("sacl_xd") / one)
        return steps, steps * one
    return config.train.steps, of_all_steps(job.arm)


def _measure(encoder: Encoder, data: RealData, config: SlimmingBenchmarkConfig) -> dict[str, float]:
    settings, device = config.evaluation, torch.device("cpu")
    scores = score_encoder(encoder, data, device, settings.limit, [], settings.test)
    split = "test" if settings.test else "validation"
    features = extract_features(encoder, _held_out(config, data), device)
    named = {"linear": scores[score_name(split, "linear_top1")], "knn": scores[score_name(split, "knn_top1")]}
    return asdict(cost_of(encoder)) | named | {"effective_rank": effective_rank(features)}


def _held_out(config: SlimmingBenchmarkConfig, data: RealData) -> Images:
    return data.test if config.evaluation.test else data.validation


def _agreement(host: Encoder, slim: Encoder, images: Images) -> dict[str, float]:
    """How the projections of a host and its slim encoder correlate: by dimension, and between dimensions."""
    correlation = cross_correlation(_projections(host, images), _projections(slim, images))
    size = len(correlation)
    diagonal = correlation.diagonal()
    between = (correlation.abs().sum() - diagonal.abs().sum()) / (size * (size - 1))
    return {"correlation": float(diagonal.mean()), "correlation_between": float(between)}


def _projections(encoder: Encoder, images: Images) -> Tensor:
    return map_images(lambda batch: encoder(batch, normalise=False), encoder, images, torch.device("cpu"))


def effective_rank(features: Tensor) -> float:
    """The exponential of the entropy of the normalised singular values of centred features (Roy & Vetterli, 2007).

    Args:
        features: (N, D).

    Returns:
        In [1, D].
    """
    values = torch.linalg.svdvals((features - features.mean(0)).double())
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def _batches(images: Images, size: int) -> Iterator[Tensor]:
    for positions in torch.arange(len(images)).split(size):
        if len(positions) > 1:
            yield to_float(images.gather(positions))
