"""Contrastive training of an encoder alone, on the rows of an emitted dataset, on real images, or on both."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import tee
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from tqdm import tqdm

from synthdata.data import (
    Negatives,
    Pairs,
    PairsConfig,
    RealData,
    load_images,
    load_negatives,
    load_pairs,
    shuffled_indices,
    stream,
    stream_pairs,
    to_float,
)
from synthdata.errors import MisuseError
from synthdata.models import synchronise_batch_norm
from synthdata.rng import BatchRandom
from synthdata.training.acceleration import compile_networks, to_device
from synthdata.training.collective import batch_random, local_main_process_first
from synthdata.training.contrast_config import ContrastConfig
from synthdata.training.contrast_plan import ContrastPlan
from synthdata.training.execution import Refresh, build_encoder, execute, finished_report, start_accelerator
from synthdata.training.method_scores import save_and_score
from synthdata.training.methods import METHODS, ContrastiveMethod, RelatedViews, build_method
from synthdata.training.optimisation import cosine_schedule, encoder_optimizer, restore_layouts, step_optimizer
from synthdata.training.run_directory import RunDirectory
from synthdata.views import RandomView


class ContrastTraining:
    """A contrastive method, its optimiser, and the steps that train it.

    Everything random is a function of the seed and the step, so the state is what ``state_dict`` returns and nothing
    else.

    Args:
        config: the run.
        real: the real images; None for synthetic ones alone.
        synthetic: the rows of an emitted dataset; None for real images alone.
        method: on the accelerator's device.
        accelerator: device, processes and precision.
        negatives: constructed negatives of the real images; None for none.
    """

    def __init__(
        self,
        config: ContrastConfig,
        real: RealData | None,
        synthetic: Pairs | None,
        method: ContrastiveMethod,
        accelerator: Accelerator,
        negatives: Negatives | None = None,
    ) -> None:
        self.negatives = negatives
        self.config, self.real, self.synthetic = config, real, synthetic
        self.method, self.accelerator = method, accelerator
        method.autocast = accelerator.autocast
        real_images, synthetic_rows = len(real.train) if real else 0, len(synthetic) if synthetic else 0
        self.plan = ContrastPlan.of(config, real_images, synthetic_rows, accelerator.num_processes)
        size, channels = method.encoder.image_size, method.encoder.channels
        self.synthetic_view = RandomView(config.synthetic_views, size, channels)
        weaker = config.mix == "adainf"
        self.real_view = RandomView(config.synthetic_views if weaker else config.views, size, channels)
        train = config.train
        self.optimizer = encoder_optimizer(method, train.optimizer, train.learning_rate, train.weight_decay)
        self.start_at(0)

    @property
    def iterations(self) -> int:
        """Steps of the whole run."""
        return self.plan.steps

    def describe(self, iteration: int) -> dict[str, Any]:
        """The step, and the anchors that the encoder has then seen."""
        return {"phase": "contrastive", "step": iteration, "images": self.plan.images_before(iteration + 1)}

    def start_at(self, iteration: int) -> None:
        """Point the streams of images at ``iteration``."""
        device, step = self.accelerator.device, iteration * self.plan.accumulation
        self.real_batches: Iterator[Tensor] = iter(())
        self.synthetic_batches: Iterator[tuple[Tensor, Tensor]] = iter(())
        self.negative_batches: Iterator[Tensor] = iter(())
        self.negative_weights: Iterator[Negatives] = iter(())
        if self.real is not None and self.plan.real:
            split, workers = self.real.train, self.config.data.workers if self.config.data else 0
            drawn = self._indices(len(split), "real", self.plan.real, step)
            self.real_batches = stream(split, drawn, device, workers)
            if self.negatives is not None:
                anchors = self._indices(len(split), "real", self.plan.real, step)
                ours, theirs = tee(self._drawn_negatives(anchors, step))
                self.negative_batches = stream(split, (drawn.places.flatten() for drawn in ours), device, workers)
                self.negative_weights = theirs
        if self.synthetic is not None and self.plan.synthetic:
            drawn = self._indices(self.synthetic.shard_rows, "synthetic", self.plan.synthetic, step)
            self.synthetic_batches = stream_pairs(self.synthetic, drawn, device, self.config.workers)

    def run(self, iteration: int) -> dict[str, Tensor]:
        """One step of the optimiser; returns the loss, detached."""
        plan, loss_sum = self.plan, torch.zeros((), device=self.accelerator.device)
        for micro in range(plan.accumulation):
            random = self.random_at(iteration * plan.accumulation + micro)
            loss = self.loss(random) / plan.accumulation
            loss.backward()
            loss_sum += loss.detach()
        train = self.config.train
        factor = cosine_schedule(plan.images_before(iteration), plan.images, train.warmup)
        step_optimizer(self.optimizer, train.learning_rate * factor)
        self.method.after_step((iteration + 1) / plan.steps)
        return {"contrastive": loss_sum} | self.method.measured()

    def loss(self, random: BatchRandom) -> Tensor:
        """The method's loss of the next batch."""
        view_1, view_2 = self._views(random)
        return self.method.loss(view_1, view_2, self._related(random))

    def state_dict(self) -> dict[str, Any]:
        """The method, its encoder included, and the optimiser."""
        return {"method": self.method.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        restore_layouts(self.optimizer)

    def random_at(self, step: int, device: torch.device | str | None = None) -> BatchRandom:
        """The random numbers of a micro-batch."""
        return batch_random(self.accelerator, self.config.seed, step, device)

    def _drawn_negatives(self, anchors: Iterator[Tensor], start: int) -> Iterator[Negatives]:
        """The negatives of each batch of anchors."""
        assert self.negatives is not None
        most = self.negatives.places.shape[1]
        count = min(self.config.method_settings.related, most)
        for step, batch in enumerate(anchors, start):
            random = self.random_at(step, "cpu")
            keys = random.rows("negatives", len(batch), lambda rows, g: torch.rand(rows, most, generator=g))
            yield self.negatives.draw(batch, keys, count)

    def _related(self, random: BatchRandom) -> RelatedViews | None:
        """Views of constructed negatives, if there are any."""
        if self.negatives is None:
            return None
        images, drawn = to_float(next(self.negative_batches)), next(self.negative_weights)
        view = self.real_view
        views = view.apply(images, random.rows("negative view", len(images), view.draw))
        device = self.accelerator.device
        return RelatedViews(views, drawn.weights.to(device), drawn.suspected.to(device))

    def _views(self, random: BatchRandom) -> tuple[Tensor, Tensor]:
        """The two views of every anchor of this process, real ones first."""
        views: list[tuple[Tensor, Tensor]] = []
        # Each source draws its own views: a row's views do not depend on how processes share the batch.
        if self.plan.real:
            images = to_float(next(self.real_batches))
            views.append(_two_views(self.real_view, images, images, "real", random))
        if self.plan.synthetic:
            first, second = (to_float(images) for images in next(self.synthetic_batches))
            views.append(_two_views(self.synthetic_view, first, second, "synthetic", random))
        return torch.cat([view for view, _ in views]), torch.cat([view for _, view in views])

    def _indices(self, rows: int | list[int], purpose: str, batch: int, start: int) -> Iterator[Tensor]:
        accelerator = self.accelerator
        return shuffled_indices(
            rows,
            batch,
            seed=f"{self.config.seed} {purpose} anchors",
            start=start,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
        )


def train_contrast(
    config: ContrastConfig,
    data: RealData | None = None,
    deadline: float | None = None,
    progress: tqdm | None = None,
    refresh: Refresh | None = None,
) -> dict[str, Any]:
    """Train an encoder, save it, score it on the real images if there are any, and write the report.

    Args:
        data: what ``config.data`` names, where it is loaded already.
        deadline: as for ``execute``; likewise ``progress`` and ``refresh``.

    Returns:
        The content of report.json; empty on all but the first process.

    Raises:
        MisuseError: if the configuration, the images or the run directory do not fit.
        FailureError: if a shard is damaged, the loss is not finite or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C.
    """
    accelerator = start_accelerator(config)
    with local_main_process_first(accelerator):
        real = load_images(config.data) if data is None and config.data else data
        synthetic = _load_synthetic(config, real)
    if real is not None and config.data is not None:
        config = replace(config, data=replace(config.data, image_size=real.train.image_size))
    if (report := finished_report(config, accelerator)) is not None:
        return report
    training = build_contrast(config, real, synthetic, accelerator)
    return execute(
        training,
        config,
        accelerator,
        finish=lambda run: _finish(training, run),
        deadline=deadline,
        progress=progress,
        refresh=refresh,
    )


def _load_synthetic(config: ContrastConfig, real: RealData | None) -> Pairs | None:
    if config.shards is None:
        return None
    settings = PairsConfig(config.shards, config.kinds, config.on_corrupt, config.resident_gib)
    return load_pairs(settings, *((real.train.image_size, real.channels) if real else ()))


def build_contrast(
    config: ContrastConfig, real: RealData | None, synthetic: Pairs | None, accelerator: Accelerator
) -> ContrastTraining:
    """A training at its first step, on the accelerator's device.

    Args:
        real: the real images, if there are any; likewise ``synthetic``.

    Raises:
        MisuseError: if the configuration does not fit the images, or the method needs a library that is missing.
    """
    images = real.train if real else synthetic
    # with no images at all the plan says so
    size, channels = (images.image_size, images.channels) if images else (16, 1)
    set_seed(config.seed)
    encoder = build_encoder(config.encoder, size, channels)
    method = build_method(config.method, encoder, config.method_settings, config.train.temperature)
    to_device(method, accelerator.device)
    synchronise_batch_norm(method, accelerator.device)
    if config.train.compile:
        for network in method.encoders().values():
            compile_networks(network, None, accelerator.device)
    negatives = _load_negatives(config, real)
    return ContrastTraining(config, real, synthetic, method, accelerator, negatives)


def _load_negatives(config: ContrastConfig, real: RealData | None) -> Negatives | None:
    """The constructed negatives that the configuration names.

    Raises:
        MisuseError: they do not go with the method, or with the images.
    """
    if config.relations is None:
        if config.method == "hasa":
            raise MisuseError("hasa needs constructed negatives: give --relations DIR, or choose hard_negative")
        return None
    if not METHODS[config.method].takes_related:
        readers = ", ".join(name for name, method in METHODS.items() if method.takes_related)
        raise MisuseError(f"{config.method} reads no --relations: choose one of {readers}")
    if real is None or config.shards is not None:
        raise MisuseError("--relations are between real images: give --data.source, and no --shards")
    return load_negatives(config.relations, real.train)


def _finish(training: ContrastTraining, run: RunDirectory) -> dict[str, Any]:
    """Save the encoders and score them; returns what the report says of both."""
    config, plan = training.config, training.plan
    scores = save_and_score(training.method, run, training.real, config.evaluation, training.accelerator.device)
    return {
        "method": config.method,
        "mix": config.mix,
        "shards": config.shards,
        "relations": config.relations,
        "seed": config.seed,
        "steps": plan.steps,
        "images_seen": plan.images,
        "synthetic_share": round(plan.synthetic / plan.batch, 4),
        "real_images": len(training.real.train) if training.real else 0,
        "synthetic_rows": len(training.synthetic) if training.synthetic else 0,
        "skipped_shards": sorted(training.synthetic.damaged) if training.synthetic else [],
        **scores,
    }


def _two_views(
    view: RandomView, first: Tensor, second: Tensor, purpose: str, random: BatchRandom
) -> tuple[Tensor, Tensor]:
    """One view of each of ``first`` and one of each of ``second``, with parameters of their own."""
    drawn = (random.rows(f"{purpose} view {number}", len(first), view.draw) for number in (1, 2))
    view_1, view_2 = (view.apply(images, parameters) for images, parameters in zip((first, second), drawn, strict=True))
    return view_1, view_2
