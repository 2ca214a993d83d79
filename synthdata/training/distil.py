"""A generator trained from a classifier alone."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from synthdata.models import Classifier, DataFree, DataFreeConfig, load_classifier
from synthdata.paths import PathText
from synthdata.ranges import PositiveFloat, PositiveInt, Seed
from synthdata.rng import latents_at
from synthdata.training.acceleration import to_device
from synthdata.training.collective import batch_random, local_main_process_first
from synthdata.training.config import CheckpointConfig
from synthdata.training.execution import Refresh, execute, finished_report, start_accelerator
from synthdata.training.figures import save_grid
from synthdata.training.optimisation import adam, restore_layouts, step_optimizer
from synthdata.training.run_directory import RunDirectory, writing
from synthdata.training.trackers import Tracker

GRID_IMAGES = 48
GRIDS = 4
EXAMINED = 2048
"""Images of the finished generator that the report counts by class."""


@dataclass
class DistilTrainConfig:
    """The generator's training.

    Attributes:
        steps: optimiser steps.
        batch_size: images of one step, over all processes; the more, the better the statistics are told.
        learning_rate: of Adam.
        average_half_life: images after which a weight's share in the moving average has halved; at most a tenth of
            the images so far.
        mixed_precision: "bf16" runs the networks in bfloat16.
        log_every: steps between two lines of metrics.jsonl.
    """

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    average_half_life: PositiveFloat = 10_000
    mixed_precision: Literal["no", "bf16"] = "no"
    log_every: PositiveInt = 10


@dataclass
class DistilConfig:
    """An image generator that learns from a classifier alone.

    Attributes:
        classifier: a folder that `recipes/evaluate.py --save_classifier` wrote or that holds an image classifier of
            transformers, or torchvision:NAME:FILE with weights as safetensors. It needs batch normalisation.
        image_size: of the images, where the classifier takes several: 16, 32, 64 or 128. Its own if not given.
        seed: of everything random.
        output_dir: the run directory.
        resume: go on from the newest checkpoint in output_dir.
        page: write index.html, to look at the run.
        tracker: also send the metrics to this tracker of Accelerate.
        generator: architecture, and the weights of the terms that it learns from.
    """

    classifier: PathText = "runs/classifier"
    image_size: PositiveInt | None = None
    seed: Seed = 0
    output_dir: PathText = "runs/free"
    resume: bool = False
    page: bool = True
    tracker: Tracker | None = None
    generator: DataFreeConfig = field(default_factory=DataFreeConfig)
    train: DistilTrainConfig = field(default_factory=DistilTrainConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)


class DistilTraining:
    """Generator and optimiser, and the step that trains them.

    Everything random is a function of the seed and the step, so the state is what ``state_dict`` returns.

    Args:
        config: the run.
        generator: on the accelerator's device.
        accelerator: device, processes and precision.
    """

    def __init__(self, config: DistilConfig, generator: DataFree, accelerator: Accelerator) -> None:
        self.config, self.generator, self.accelerator = config, generator, accelerator
        optimizer = adam(generator.members["a"].parameters(), config.train.learning_rate, generator.betas)
        assert optimizer is not None
        self.optimizer = optimizer
        self.rows = math.ceil(config.train.batch_size / accelerator.num_processes)
        self.iterations = config.train.steps

    def describe(self, iteration: int) -> dict[str, Any]:
        """The step, and the images made."""
        return {"phase": "distil", "step": iteration, "images": self.images_after(iteration + 1)}

    def images_after(self, steps: int) -> int:
        """Images that ``steps`` steps make, over all processes."""
        return steps * self.rows * self.accelerator.num_processes

    def start_at(self, iteration: int) -> None:
        """Nothing is read in order."""

    def run(self, iteration: int) -> dict[str, Tensor]:
        """One step: images that the classifier sorts surely, evenly, and with the statistics that it knows."""
        accelerator, train = self.accelerator, self.config.train
        random = batch_random(accelerator, self.config.seed, iteration)
        latents = random.latents("generator latents", self.rows, self.generator.latent_shape)
        with accelerator.autocast():
            terms = self.generator.terms(self.generator.sample(latents))
        torch.stack(list(terms.values())).sum().backward()
        step_optimizer(self.optimizer, train.learning_rate)
        made = self.images_after(iteration + 1)
        half_life = min(train.average_half_life, made / 10)
        self.generator.update_average(0.5 ** (self.images_after(1) / half_life))
        return {name: term.detach() for name, term in terms.items()}

    def state_dict(self) -> dict[str, Any]:
        """The generator, without the classifier that does not change, and the optimiser."""
        members = {"members": self.generator.members, "averages": self.generator.averages}
        return {name: part.state_dict() for name, part in members.items()} | {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.members.load_state_dict(state["members"])
        self.generator.averages.load_state_dict(state["averages"])
        self.optimizer.load_state_dict(state["optimizer"])
        restore_layouts(self.optimizer)


def distil(
    config: DistilConfig,
    classifier: Classifier | None = None,
    deadline: float | None = None,
    refresh: Refresh | None = None,
) -> dict[str, Any]:
    """Train a generator from a classifier, save it, and write the report.

    Args:
        classifier: what ``config.classifier`` names, where it is loaded already.
        deadline: as for ``execute``, and ``refresh``.

    Returns:
        The content of report.json; empty on all but the first process.

    Raises:
        MisuseError: if the classifier cannot be used, or the run directory does not fit.
        FailureError: if the loss is not finite or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C.
    """
    accelerator = start_accelerator(config)
    if (report := finished_report(config, accelerator)) is not None:
        return report
    if classifier is None:
        with local_main_process_first(accelerator):
            classifier = load_classifier(config.classifier, config.image_size)
    set_seed(config.seed)
    generator = DataFree(config.generator, classifier)
    to_device(generator, accelerator.device)
    training = DistilTraining(config, generator, accelerator)
    return execute(
        training,
        config,
        accelerator,
        finish=lambda run: _finish(training, run),
        observe=lambda run, done: _observe(training, run, done),
        deadline=deadline,
        refresh=refresh,
    )


@torch.no_grad()
def _observe(training: DistilTraining, run: RunDirectory, done: int) -> None:
    """Draw a grid at every quarter of the training, each image with the class that it is taken for."""
    if done not in {round(training.iterations * quarter / GRIDS) for quarter in range(1, GRIDS + 1)}:
        return
    images, labels, confidence = _sorted(training, GRID_IMAGES)
    names = training.generator.classifier.classes
    captions = [f"{names[label]} {sure:.2f}" for label, sure in zip(labels.tolist(), confidence.tolist(), strict=True)]
    with writing(run.samples):
        save_grid(run.samples / f"step-{done:06d}.png", [("class and confidence", images, captions)])


@torch.no_grad()
def _finish(training: DistilTraining, run: RunDirectory) -> dict[str, Any]:
    """Save the generator, and count what the classifier takes its images for."""
    training.generator.begin_tuning()
    run.replace_folder(run.generator, training.generator.save_pretrained)
    _, labels, confidence = _sorted(training, EXAMINED)
    classes = training.generator.classifier.classes
    counts = Counter(classes[label] for label in labels.tolist())
    shares = labels.bincount(minlength=len(classes)).double() / len(labels)
    return {
        "method": "data_free",
        "seed": training.config.seed,
        "steps": training.iterations,
        "images_seen": training.images_after(training.iterations),
        "mean_confidence": round(float(confidence.mean()), 4),
        "class_entropy": round(float(torch.special.entr(shares).sum() / math.log(len(classes))), 4),
        "class_counts": {name: counts[name] for name in classes},
    }


def _sorted(training: DistilTraining, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images of the averaged weights, and the class that each is taken for, with the classifier's confidence."""
    generator, device = training.generator, training.accelerator.device
    latents = latents_at(training.config.seed, torch.arange(count), generator.latent_shape)
    images = torch.cat([generator.sample(rows.to(device), averaged=True) for rows in latents.split(256)])
    logits = torch.cat([generator.classifier(rows) for rows in images.split(256)])
    confidence, labels = logits.softmax(1).max(1)
    return images, labels, confidence
