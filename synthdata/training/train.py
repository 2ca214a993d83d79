"""One joint training from its configuration to a complete run directory."""

import importlib.metadata
import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from synthdata.data import RealData, load_images, to_float
from synthdata.errors import MisuseError
from synthdata.evaluation import extract_features, frechet_distance, score_encoder
from synthdata.models import GAN, Encoder, Generator, load_generator, synchronise_batch_norm
from synthdata.objectives import pair_similarity
from synthdata.rng import latents_at
from synthdata.training.config import JointConfig
from synthdata.training.figures import Panel, save_curves, save_grid
from synthdata.training.joint import JointTraining
from synthdata.training.loop import LoopSettings, run_loop
from synthdata.training.run_directory import RunDirectory, writing

GRID_IMAGES = 24
GRIDS = 4
FRECHET_IMAGES = 2000
LIBRARIES = ("synthdata", "torch", "torchvision", "diffusers", "accelerate", "datasets", "numpy", "scikit-learn")


def train_joint(config: JointConfig) -> dict[str, Any]:
    """Train, save encoder and generator, score them, and write the report.

    Returns:
        The content of report.json.

    Raises:
        MisuseError: if the configuration, the data or the run directory do not fit.
        FailureError: if a loss is not finite or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C.
    """
    run = RunDirectory(Path(config.output_dir))
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # without it, processes that torchrun starts on CPUs run apart
        mixed_precision=config.train.mixed_precision,
        log_with=config.tracker,
        project_dir=config.output_dir,
    )
    with accelerator.local_main_process_first():
        data = load_images(config.data)
    config = replace(config, data=replace(config.data, image_size=data.train.image_size))
    if config.resume and run.report.exists():
        run.open(config, resume=True)
        return json.loads(run.report.read_text()) if accelerator.is_main_process else {}
    set_seed(config.seed)
    encoder, generator = build_models(config, data)
    device = accelerator.device
    synchronise_batch_norm(encoder.to(device), device)
    training = JointTraining(config, data, encoder, generator and generator.to(device), accelerator)
    if accelerator.is_main_process:
        run.open(config, config.resume)
    accelerator.wait_for_everyone()
    if config.tracker:
        accelerator.init_trackers("synthdata")

    settings = LoopSettings(
        log_every=config.train.log_every,
        checkpoint_every=config.checkpoint.every,
        keep=config.checkpoint.keep,
        observe=lambda done: _observe(training, run, done),
    )
    seconds = run_loop(training, run, settings, accelerator)
    report: dict[str, Any] = {}
    if accelerator.is_main_process:
        report = _finish(config, training, run, seconds)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return report


def build_models(config: JointConfig, data: RealData) -> tuple[Encoder, Generator | None]:
    """The encoder and, unless the arm needs none, the generator of a run, on the CPU.

    Raises:
        MisuseError: if a pre-trained generator does not fit the data.
    """
    size = data.train.image_size
    encoder = Encoder(
        config.encoder.backbone,
        size,
        data.channels,
        width=config.encoder.width,
        hidden_dim=config.encoder.hidden_dim,
        projection_dim=config.encoder.projection_dim,
    )
    if config.arm == "real":
        return encoder, None
    if config.generator.pretrained is None:
        return encoder, GAN(config.generator.gan, size, data.channels)
    generator = load_generator(config.generator.pretrained, config.generator.gan)
    if (generator.image_size, generator.channels) != (size, data.channels):
        raise MisuseError(
            f"{config.generator.pretrained} makes {generator.image_size}-px images of {generator.channels} channels,"
            f" the data has {size} px and {data.channels} channels: set data.image_size, or choose another generator"
        )
    return encoder, generator


def _observe(training: JointTraining, run: RunDirectory, done: int) -> None:
    """Draw a grid after pre-training and at every quarter of the encoder's training."""
    step = done - training.plan.pretrain_steps
    moments = {round(training.plan.steps * quarter / GRIDS) for quarter in range(GRIDS + 1)}
    if training.generator is not None and step in moments:
        with writing(run.samples):
            save_grid(run.samples / f"step-{step:06d}.png", _panels(training))


@torch.no_grad()
def _panels(training: JointTraining) -> list[Panel]:
    generator, encoder, config = training.generator, training.encoder, training.config
    assert generator is not None
    device = training.accelerator.device
    pixels = [training.data.train[i] for i in range(min(GRID_IMAGES, len(training.data.train)))]
    panels: list[Panel] = [("real", to_float(torch.stack(pixels)), None)]
    indices = torch.arange(GRID_IMAGES)
    latents = latents_at(config.seed, indices, generator.latent_shape).to(device)
    images_a = generator.sample(latents, "a", averaged=True)
    title = {"inflate": "synthetic", "pairs": "pair a"}.get(config.arm, "hard")
    if config.arm != "both":
        panels.append((title, images_a, None))
    else:
        other = latents_at(config.seed, indices + GRID_IMAGES, generator.latent_shape).to(device)
        panels.append(("hard", generator.sample(other, "a", averaged=True), None))
        panels.append(("pair a", images_a, None))
    if training.plan.pairs:
        images_b = generator.sample(latents, "b", averaged=True)
        encoder.eval()
        similarity = pair_similarity(encoder(images_a), encoder(images_b))
        encoder.train()
        panels.append(("pair b (similarity)", images_b, [f"{value:.2f}" for value in similarity.tolist()]))
    return panels


def _finish(config: JointConfig, training: JointTraining, run: RunDirectory, seconds: float) -> dict[str, Any]:
    """Save what the run made, and score it."""
    encoder, generator, plan = training.encoder, training.generator, training.plan
    device = training.accelerator.device
    run.replace_folder(run.encoder, encoder.save_pretrained)
    if generator is not None:
        run.replace_folder(run.generator, generator.save_pretrained)
    with writing(run.path / "curves"):
        save_curves(run.metrics, run.path / "curves")
    scores: dict[str, Any] = dict(
        score_encoder(
            encoder,
            training.data,
            device,
            config.evaluation.limit,
            config.evaluation.labels,
            config.evaluation.test,
        )
    )
    if generator is not None:
        scores["frechet_distance"] = round(_generated_distance(training), 4)
    report = {
        "arm": config.arm,
        "seed": config.seed,
        "steps": plan.steps,
        "images_seen": plan.images,
        **scores,
        "wall_seconds": round(seconds, 1),
        "images_per_second": round(plan.images / seconds, 1),
        "versions": {"python": platform.python_version()} | _library_versions(),
        "device": _device_name(device),
        "processes": training.accelerator.num_processes,
    }
    run.write_json(run.report, report)
    return report


def _library_versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)"


@torch.no_grad()
def _generated_distance(training: JointTraining) -> float:
    """Fréchet distance of generated to validation images, in the encoder's own feature space."""
    encoder, generator, device = training.encoder, training.generator, training.accelerator.device
    assert generator is not None
    real = extract_features(encoder, training.data.validation, device)
    encoder.eval()
    features = []
    for indices in torch.arange(FRECHET_IMAGES).split(250):
        latents = latents_at(training.config.seed, indices, generator.latent_shape).to(device)
        features.append(encoder.features(generator.sample(latents, averaged=True)).float().cpu())
    encoder.train()
    return frechet_distance(torch.cat(features), real)
