"""One joint training from its configuration to a complete run directory."""

from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from synthdata.data import RealData, image_identity, load_images, to_float
from synthdata.errors import MisuseError
from synthdata.evaluation import find_inception_weights
from synthdata.evaluation.features import evaluated
from synthdata.models import GAN, Diffusion, Encoder, Generator, load_generator, synchronise_batch_norm
from synthdata.objectives import pair_similarity
from synthdata.rng import latents_at
from synthdata.training.acceleration import compile_networks, to_device
from synthdata.training.anchored import AnchoredTraining
from synthdata.training.collective import local_main_process_first
from synthdata.training.config import GeneratorConfig, JointConfig
from synthdata.training.execution import Refresh, build_encoder, execute, finished_report, start_accelerator
from synthdata.training.fidelity import generated_distances
from synthdata.training.figures import Panel, save_grid
from synthdata.training.joint import JointTraining
from synthdata.training.method_scores import save_and_score
from synthdata.training.run_directory import RunDirectory, writing
from synthdata.training.trackers import log_picture

GRID_IMAGES = 24
GRIDS = 4


def train_joint(
    config: JointConfig,
    data: RealData | None = None,
    deadline: float | None = None,
    refresh: Refresh | None = None,
) -> dict[str, Any]:
    """Train, save encoder and generator, score them, and write the report.

    Args:
        data: what ``config.data`` names, where it is loaded already.
        deadline: when to save and stop, in seconds of ``time.monotonic``.
        refresh: as for ``execute``.

    Returns:
        The content of report.json.

    Raises:
        MisuseError: if the configuration, the data or the run directory do not fit.
        FailureError: if a loss is not finite or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C, or at the deadline.
    """
    find_inception_weights(config.evaluation.inception)  # what is missing is told before training, not after it
    accelerator = start_accelerator(config)
    if data is None:
        with local_main_process_first(accelerator):
            data = load_images(config.data)
    config = replace(config, data=replace(config.data, image_size=data.train.image_size))
    if (report := finished_report(config, accelerator)) is not None:
        return report
    training = build_training(config, data, accelerator)
    return execute(
        training,
        config,
        accelerator,
        finish=lambda run: _finish(training, run),
        observe=lambda run, done: _observe(training, run, done),
        deadline=deadline,
        refresh=refresh,
    )


def build_training(config: JointConfig, data: RealData, accelerator: Accelerator) -> JointTraining:
    """A training at its first iteration, on the accelerator's device.

    Raises:
        MisuseError: if the configuration does not fit the data, or asks for compilation where there is none.
    """
    set_seed(config.seed)
    encoder, generator = build_models(config, data)
    device = accelerator.device
    for network in (encoder, generator):
        if network is not None:
            to_device(network, device)
    third_view = config.arm == "anchored" or config.train.views == 3
    training_class = AnchoredTraining if third_view else JointTraining
    training = training_class(config, data, encoder, generator, accelerator)
    synchronise_batch_norm(training.method, device)
    if config.train.compile:
        compile_networks(encoder, generator, device)
        for network in training.method.encoders().values():
            if network is not encoder:
                compile_networks(network, None, device)
    return training


def build_models(config: JointConfig, data: RealData) -> tuple[Encoder, Generator | None]:
    """The encoder and, unless the arm needs none, the generator of a run, on the CPU.

    Raises:
        MisuseError: if a pre-trained generator does not fit the data.
    """
    size = data.train.image_size
    encoder = build_encoder(config.encoder, size, data.channels)
    if config.arm == "real":
        return encoder, None
    if config.generator.pretrained is None:
        return encoder, new_generator(config.generator, size, data.channels)
    generator = load_generator(config.generator.pretrained, config.generator.gan, config.generator.diffusion)
    if generator.kind != config.generator.kind:
        raise MisuseError(
            f"{config.generator.pretrained} holds a generator of kind {generator.kind}: set generator.kind to it, or"
            f" name one of kind {config.generator.kind}"
        )
    if (generator.image_size, generator.channels) != (size, data.channels):
        raise MisuseError(
            f"{config.generator.pretrained} makes {generator.image_size}-px images of {generator.channels} channels,"
            f" the data has {size} px and {data.channels} channels: set data.image_size, or choose another generator"
        )
    return encoder, generator


def new_generator(config: GeneratorConfig, image_size: int, channels: int) -> Generator:
    """A generator that knows nothing yet.

    Raises:
        MisuseError: for a kind that needs a classifier to learn from.
    """
    if config.kind == "data_free":
        raise MisuseError(
            "a data-free generator learns from a classifier: make one with recipes/distil.py, and name it as"
            " generator.pretrained"
        )
    if config.kind == "diffusion":
        return Diffusion.untrained(config.diffusion, image_size, channels)
    return GAN(config.gan, image_size, channels)


def _observe(training: JointTraining, run: RunDirectory, done: int) -> None:
    """Draw a grid after pre-training and at every quarter of the encoder's training."""
    step = done - training.plan.pretrain_steps
    moments = {round(training.plan.steps * quarter / GRIDS) for quarter in range(GRIDS + 1)}
    if training.generator is not None and step in moments:
        with writing(run.samples):
            save_grid(run.samples / f"step-{step:06d}.png", _panels(training))
        log_picture(training.accelerator, "samples", run.samples / f"step-{step:06d}.png", done - 1)


@torch.no_grad()
def _panels(training: JointTraining) -> list[Panel]:
    generator, encoder, config = training.generator, training.encoder, training.config
    assert generator is not None
    device = training.accelerator.device
    shown = torch.arange(min(GRID_IMAGES, len(training.data.train)))
    panels: list[Panel] = [("real", to_float(training.data.train.gather(shown)), None)]
    indices = torch.arange(GRID_IMAGES)
    latents = latents_at(config.seed, indices, generator.latent_shape).to(device)
    if config.arm == "anchored":
        return [*panels, *_variant_panels(training, panels[0][1].to(device), latents)]
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


def _variant_panels(training: JointTraining, real: Tensor, latents: Tensor) -> list[Panel]:
    """Variants of the same images at every level, from the same latents, each with its similarity to its image."""
    generator, encoder = training.generator, training.encoder
    assert generator is not None
    panels: list[Panel] = []
    with evaluated(encoder):
        for level in training.config.synthetic.variants.levels:
            variants = generator.vary(real, level, latents[: len(real)], averaged=True)
            similarity = pair_similarity(encoder(real), encoder(variants)).tolist()
            panels.append((f"level {level:g} (similarity)", variants, [f"{value:.2f}" for value in similarity]))
    return panels


def _finish(training: JointTraining, run: RunDirectory) -> dict[str, Any]:
    """Save what the run made, and score it; returns what the report says of it."""
    config, generator = training.config, training.generator
    if generator is not None:
        run.replace_folder(run.generator, generator.save_pretrained)
    scores = save_and_score(training.method, run, training.data, config.evaluation, training.accelerator.device)
    if generator is not None:
        scores |= generated_distances(training, generator)
    return {
        "arm": config.arm,
        "seed": config.seed,
        "steps": training.plan.steps,
        "images_seen": training.plan.images,
        "source": image_identity(training.data.train.source),
        **scores,
    }
