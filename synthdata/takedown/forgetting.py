"""The step in which an encoder forgets images, and when it has."""

from collections.abc import Iterator
from itertools import tee
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from synthdata.data import Images, stream, to_float
from synthdata.errors import MisuseError
from synthdata.evaluation import map_images
from synthdata.models import Encoder, estimate_statistics
from synthdata.objectives import (
    alignment_calibration,
    all_gather_with_gradient,
    contrastive_unlearning,
    hardness,
    nt_xent,
)
from synthdata.rng import BatchRandom
from synthdata.takedown.before import Divided
from synthdata.takedown.config import TakedownRunConfig
from synthdata.takedown.membership import view_similarity
from synthdata.takedown.sampling import places_of_few
from synthdata.training.collective import batch_random, largest_of_processes
from synthdata.training.optimisation import encoder_optimizer, restore_layouts, step_optimizer
from synthdata.views import RandomView

STATISTICS_BATCHES = 16
"""Batches of retained images that batch statistics are set from, once the forgotten ones have shaped them."""

LEAST_STEPS_BETWEEN_LOOKS = 2
"""A short list is met whole at every step: four of them can drive its views further apart than those of any others."""

_LOOKED_AT = 256
_VIEWS_OF_A_LOOK = 4


class EncoderForgetting:
    """Takes images out of a trained encoder, by the method of the configuration.

    Each batch holds retained and forgotten images in fixed shares, so that a short list is met at every step. Once
    ``stopped``, the iterations that are left do nothing. The last thing is to set batch statistics from retained
    images alone. Images that were never learned are none to forget; where all are such, the encoder stays as it is.

    Args:
        config: the new run.
        encoder: of the run before, on the accelerator's device.
        images: what is forgotten, and what is retained.
        accelerator: device, processes and precision.

    Raises:
        MisuseError: labels are wanted where there are none, or a batch does not divide over the processes.
    """

    def __init__(self, config: TakedownRunConfig, encoder: Encoder, images: Divided, accelerator: Accelerator) -> None:
        self.config, self.settings, self.images = config, config.takedown, images
        self.encoder, self.accelerator = encoder, accelerator
        self.temperature = config.train.temperature
        self.batch, self.forgotten_batch = _batches(config, accelerator.num_processes)
        self.iterations = max(1, round(self.settings.share * config.train.steps))
        self.view = RandomView(config.views, encoder.image_size, encoder.channels)
        self.head: nn.Linear | None = None
        if self.settings.method == "contrastive" and self.settings.supervised:
            self.head = _prototype_head(encoder, images, self.temperature, accelerator.device)
        trained = nn.ModuleList([encoder, *([self.head] if self.head else [])])
        self.rate = self.settings.learning_rate or config.train.learning_rate / 5
        self.optimizer = encoder_optimizer(trained, config.train.optimizer, self.rate, config.train.weight_decay)
        self.steps_taken: int | None = None if len(images.learned) else 0
        self.start_at(0)

    @property
    def stopped(self) -> bool:
        """Whether the images are forgotten, or all steps are taken."""
        return self.steps_taken is not None

    def describe(self, iteration: int) -> dict[str, Any]:
        """The step, and the images that the encoder has then seen."""
        return {"phase": "forgetting", "step": iteration, "images": (iteration + 1) * self.batch}

    def start_at(self, iteration: int) -> None:
        """Point the streams of images at ``iteration``."""
        retained, forgotten = self.images.retained.train, self.images.learned
        if not len(forgotten):
            return
        drawn, self.retained_rows = tee(self._indices(retained, self.batch - self.forgotten_batch, iteration))
        self.retained_batches = self._stream(retained, drawn)
        drawn, own, self.forgotten_rows = tee(self._indices(forgotten, self.forgotten_batch, iteration), 3)
        self.forgotten_batches = self._stream(forgotten, drawn)
        others = (_others(places, len(forgotten), step) for step, places in enumerate(own, iteration))
        self.other_batches = self._stream(forgotten, others)

    def run(self, iteration: int) -> dict[str, Tensor]:
        """One step of the optimiser; nothing once the images are forgotten."""
        if self.stopped:
            return {}
        random = self._random(iteration)
        loss = {
            "calibration": self.calibration,
            "contrastive": self.supervised_contrast if self.head else self.contrast,
            "finetune": self.finetuning,
            "ascent": self.ascent,
        }[self.settings.method](random)
        loss.backward()
        step_optimizer(self.optimizer, self.rate)
        terms: dict[str, Tensor] = {self.settings.method: loss.detach()}
        if self._looks_after(iteration + 1):
            terms |= self._look(iteration + 1)
        return terms

    def calibration(self, random: BatchRandom) -> Tensor:
        """Alignment calibration; an only forgotten image has no other to be held to, and is no anchor then."""
        (view_1, view_2), (own_1, own_2) = self._retained(random), self._forgotten(random)
        other = self._viewed(to_float(next(self.other_batches)), "other view", random)
        anchors, keys, own = self._embed(torch.cat([view_1, own_1]), torch.cat([view_2, other]), own_2)
        forgotten = torch.arange(len(anchors), device=anchors.device) >= len(view_1)
        settings = self.settings
        negative = settings.negative_weight if len(self.images.learned) > 1 else 0.0
        return alignment_calibration(
            anchors, keys, own, forgotten, self.temperature, negative, settings.positive_weight
        )

    def contrast(self, random: BatchRandom) -> Tensor:
        """Contrastive unlearning without labels: from an image's other view, to retained images."""
        retained_1, retained_2, own_1, own_2 = self._embed(*self._retained(random), *self._forgotten(random))
        retained = all_gather_with_gradient(retained_1)
        count = len(own_1)
        pushed = torch.eye(count, count + len(retained), dtype=torch.bool, device=own_1.device)
        pulled = (torch.arange(count + len(retained), device=own_1.device) >= count).expand(count, -1)
        unlearning = contrastive_unlearning(own_1, torch.cat([own_2, retained]), pushed, pulled, self.temperature)
        return self._weighed(unlearning, nt_xent(retained_1, retained_2, self.temperature))

    def supervised_contrast(self, random: BatchRandom) -> Tensor:
        """Contrastive unlearning as published: from retained images of one's class, to those of other classes."""
        assert self.head is not None
        labels, retained_labels = (
            self._labels(self.images.learned, self.forgotten_rows),
            self._labels(self.images.retained.train, self.retained_rows),
        )
        retained, own = self._embed(self._retained(random)[0], self._forgotten(random)[0])
        everyone, their_labels = all_gather_with_gradient(retained), all_gather_with_gradient(retained_labels)
        same = (labels[:, None] == their_labels[None]) & (labels >= 0)[:, None]
        other = (labels[:, None] != their_labels[None]) & (labels >= 0)[:, None] & (their_labels >= 0)[None]
        unlearning = contrastive_unlearning(own, everyone, same, other, self.temperature)
        return self._weighed(unlearning, F.cross_entropy(self.head(retained), retained_labels, ignore_index=-1))

    def finetuning(self, random: BatchRandom) -> Tensor:
        """The encoder's own loss of retained images."""
        view_1, view_2 = self._embed(*self._retained(random))
        return nt_xent(view_1, view_2, self.temperature)

    def ascent(self, random: BatchRandom) -> Tensor:
        """Minus the encoder's loss of forgotten images, among retained ones."""
        retained, own_1, own_2 = self._embed(self._retained(random)[0], *self._forgotten(random))
        return -hardness(own_1, own_2, all_gather_with_gradient(retained), self.temperature).mean()

    def state_dict(self) -> dict[str, Any]:
        """Encoder, optimiser, and whether it has stopped."""
        state = {"encoder": self.encoder.state_dict(), "optimizer": self.optimizer.state_dict()}
        head = {"head": self.head.state_dict()} if self.head else {}
        return state | head | {"steps_taken": self.steps_taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        restore_layouts(self.optimizer)
        if self.head:
            self.head.load_state_dict(state["head"])
        self.steps_taken = state["steps_taken"]

    def _weighed(self, unlearning: Tensor, retaining: Tensor) -> Tensor:
        return self.settings.unlearning_weight * unlearning + self.settings.retaining_weight * retaining

    def _looks_after(self, done: int) -> bool:
        """Whether to look now: after every pass over the forgotten images, and at the end."""
        a_pass = -(-len(self.images.learned) // self.forgotten_batch)
        return done == self.iterations or done % max(a_pass, LEAST_STEPS_BETWEEN_LOOKS) == 0

    def _look(self, done: int) -> dict[str, Tensor]:
        """Whether the images are no better known than others; then, or at the end, there is nothing more to do."""
        known, unknown = self._known()
        stops = self.settings.stop and self.settings.method != "finetune" and known <= unknown
        if largest_of_processes(int(stops)) or done == self.iterations:
            self.steps_taken = done
            self._settle_statistics()
        return {"known": torch.tensor(known), "known_of_others": torch.tensor(unknown)}

    def _known(self) -> tuple[float, float]:
        """How well the forgotten images are known, and images of which nothing was learned.

        Views are looked at as whoever attacks the encoder does, on images and views that no audit uses. With labels it
        is accuracy, of which a class that is gone may have what chance gives.
        """
        forgotten, others = self.images.learned, self.images.retained.validation
        if self.head:
            accuracy = self._accuracy(forgotten)
            held_out = self._accuracy(others)
            gone = _is_whole_class(self.images)
            return accuracy, 1 / self.head.out_features if gone else held_out
        known = (
            view_similarity(
                self.encoder, _first(images), self.config.views, self.accelerator.device, _VIEWS_OF_A_LOOK, "stop"
            ).mean()
            for images in (forgotten, others)
        )
        return float(next(known)), float(next(known))

    def _accuracy(self, images: Images) -> float:
        images, head = _first(images), self.head
        labels = images.labels
        assert head is not None
        assert labels is not None
        scores = map_images(lambda batch: head(self.encoder(batch)), self.encoder, images, self.accelerator.device)
        return float((scores.argmax(1) == labels)[labels >= 0].float().mean())

    def _settle_statistics(self) -> None:
        retained = self.images.retained.train
        random = self._random(self.iterations)
        drawn = self._indices(retained, self.batch - self.forgotten_batch, self.iterations)
        batches = zip(range(STATISTICS_BATCHES), self._stream(retained, drawn), strict=False)
        estimate_statistics(
            self.encoder, (self._viewed(to_float(batch), f"statistics {n}", random) for n, batch in batches)
        )

    def _random(self, counter: int) -> BatchRandom:
        return batch_random(self.accelerator, self.config.seed, counter)

    def _retained(self, random: BatchRandom) -> tuple[Tensor, Tensor]:
        """Two views of this process's retained images."""
        return self._two_views(to_float(next(self.retained_batches)), "retained", random)

    def _forgotten(self, random: BatchRandom) -> tuple[Tensor, Tensor]:
        return self._two_views(to_float(next(self.forgotten_batches)), "forgotten", random)

    def _two_views(self, images: Tensor, purpose: str, random: BatchRandom) -> tuple[Tensor, Tensor]:
        first, second = (self._viewed(images, f"{purpose} view {number}", random) for number in (1, 2))
        return first, second

    def _viewed(self, images: Tensor, purpose: str, random: BatchRandom) -> Tensor:
        return self.view.apply(images, random.rows(purpose, len(images), self.view.draw))

    def _embed(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Unit-norm embeddings of several batches, which go through the encoder as one."""
        with self.accelerator.autocast():
            embeddings = self.encoder(torch.cat(views))
        return embeddings.float().split([len(each) for each in views])

    def _labels(self, images: Images, rows: Iterator[Tensor]) -> Tensor:
        assert images.labels is not None
        return images.labels[next(rows)].to(self.accelerator.device)

    def _indices(self, images: Images, batch: int, start: int) -> Iterator[Tensor]:
        purpose = "retained" if images is self.images.retained.train else "forgotten"
        return places_of_few(len(images), batch, f"{self.config.seed} takedown {purpose}", start, self.accelerator)

    def _stream(self, images: Images, indices: Iterator[Tensor]) -> Iterator[Tensor]:
        return stream(images, indices, self.accelerator.device, self.config.data.workers)


def _batches(config: TakedownRunConfig, processes: int) -> tuple[int, int]:
    """Images of a batch, and forgotten ones among them, over all processes."""
    batch = config.train.batch_size
    forgotten = max(processes, round(batch * config.takedown.forgotten_share / processes) * processes)
    if batch % processes or forgotten >= batch:
        raise MisuseError(
            f"takedown.forgotten_share is {config.takedown.forgotten_share}: of a batch of {batch} on {processes}"
            " process(es) that leaves no retained image; choose a smaller one"
        )
    return batch, forgotten


def _others(places: Tensor, count: int, step: int) -> Tensor:
    """For each of ``places`` another one of ``count``, which changes from step to step."""
    return (places + 1 + step % max(count - 1, 1)) % count


def _first(images: Images) -> Images:
    return images if len(images) <= _LOOKED_AT else images.subset(torch.arange(_LOOKED_AT))


def _is_whole_class(images: Divided) -> bool:
    """Whether no retained image is of a forgotten one's class."""
    labels, retained = images.forgotten.labels, images.retained.train.labels
    assert labels is not None
    assert retained is not None
    return not torch.isin(labels, retained).any()


@torch.no_grad()
def _prototype_head(encoder: Encoder, images: Divided, temperature: float, device: torch.device) -> nn.Linear:
    """A classifier of embeddings that begins as the mean embedding of each class, over the temperature.

    It is that of the run before: forgotten images count as well.

    Raises:
        MisuseError: there are no labels.
    """
    classes, parts = images.retained.classes, (images.retained.train, images.forgotten)
    if classes is None or any(part.labels is None for part in (*parts, images.retained.validation)):
        raise MisuseError(f"{images.retained.source} has no labels: leave out --supervised, which needs them")
    embeddings = torch.cat([map_images(encoder, encoder, part, device) for part in parts])
    labels = torch.cat([part.labels for part in parts if part.labels is not None])
    sums = torch.zeros(len(classes), embeddings.shape[1])
    sums.index_add_(0, labels[labels >= 0], embeddings[labels >= 0])
    head = nn.Linear(embeddings.shape[1], len(classes))
    head.weight.copy_(F.normalize(sums, dim=1) / temperature)
    head.bias.zero_()
    return head.to(device)
