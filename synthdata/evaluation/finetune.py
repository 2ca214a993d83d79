"""Fine-tuning: what an encoder is worth as the start of supervised training."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from synthdata.data import Images, RealData, shuffled_indices, stream, to_float
from synthdata.errors import FailureError
from synthdata.evaluation.explore_exploit import TwoPhase, check_images
from synthdata.evaluation.features import map_images
from synthdata.evaluation.probe import label_subset
from synthdata.models import Encoder, LinearClassifier
from synthdata.ranges import NonNegativeFloat, NonNegativeInt, PartialShare, PositiveFloat, PositiveInt
from synthdata.rng import generator_at
from synthdata.views import RandomView, ViewConfig

CHECKS = 5
"""How many times along the way the validation split decides whether the weights are the best so far."""

Head = Callable[[Tensor], Tensor]

VIEWS = ViewConfig(crop_scale=(0.6, 1.0), flip_probability=0.0, jitter_probability=0.0, greyscale_probability=0.0)
"""Mild crops alone: whether a mirrored or recoloured image keeps its class depends on the data."""


@dataclass(frozen=True)
class FineTuningConfig:
    """Training of all weights, classifier and encoder, on labelled images.

    Attributes:
        steps: optimiser steps; 0 leaves fine-tuning out.
        batch_size: images of one step, at most as many as there are labels.
        learning_rate: peak of the cosine schedule, for AdamW.
        weight_decay: decoupled weight decay.
        wrapper: "explore_exploit" (after Kawaguchi, Zhang & Deng 2022) trains all weights for a part of the steps, then
            a widened last layer alone, convexly, on un-augmented images: it fits all labels, wrong ones included.
        explore: that part of the steps.
        exploit_steps: full-batch steps of the widened layer.
    """

    steps: NonNegativeInt = 300
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.05
    wrapper: Literal["explore_exploit"] | None = None
    explore: PartialShare = 0.7
    exploit_steps: PositiveInt = 500


@dataclass(frozen=True)
class Labelled:
    """What fine-tuning sees: images of the training split, and (N,) labels, on the CPU."""

    images: Images
    labels: Tensor


def fine_tune(
    encoder: Encoder, data: RealData, budget: int, seed: int, config: FineTuningConfig, accelerator: Accelerator
) -> dict[str, float]:
    """Train a copy of ``encoder`` and a classifier with the labels of a few images; the encoder stays as it is.

    The weights that score best on the validation split, of ``CHECKS`` along the way, are scored on the test split; the
    wrapper goes on from them.

    Args:
        data: labelled images.
        budget: number of labels over all classes.
        seed: of the draw of the labels, the batches and the views.
        accelerator: device and precision. Every process computes the same.

    Returns:
        ``validation`` and ``test``: top-1 accuracies in percent. With the wrapper also ``training_loss``, in nats, and
        ``rank_share``, which is 1 where that loss can be brought to 0.

    Raises:
        MisuseError: the budget is too large for the wrapper.
        FailureError: the loss is not finite.
    """
    assert data.classes is not None
    labelled, device = draw_labelled(data, budget, seed), accelerator.device
    classifier = LinearClassifier(encoder, len(data.classes))
    if config.wrapper is None:
        train_classifier(classifier, labelled, data.validation, seed, config, accelerator)
        return {name: top1(classifier, images, device) for name, images in _held_out(data).items()}
    check_images(len(labelled.images))
    train_classifier(classifier, labelled, data.validation, seed, exploring(config), accelerator)
    tuned = two_phase(classifier, labelled, config.exploit_steps, seed, device)
    widening = tuned.widening
    return {
        **{name: top1(classifier, images, device, tuned) for name, images in _held_out(data).items()},
        "training_loss": tuned.exploitation.losses[-1],
        "rank_share": widening.rank / len(widening.features),
    }


def exploring(config: FineTuningConfig) -> FineTuningConfig:
    """The settings of the first phase."""
    return replace(config, steps=max(1, round(config.explore * config.steps)))


def draw_labelled(data: RealData, budget: int, seed: int) -> Labelled:
    """The images whose labels fine-tuning sees, as equally many of each class as the budget allows."""
    assert data.labelled.labels is not None
    positions = label_subset(data.labelled.labels, budget, seed)
    return Labelled(data.labelled.subset(positions), data.labelled.labels[positions])


def train_classifier(
    classifier: LinearClassifier,
    labelled: Labelled,
    validation: Images,
    seed: int,
    config: FineTuningConfig,
    accelerator: Accelerator,
) -> None:
    """Train all weights; those that score best on ``validation``, of ``CHECKS`` along the way, stay."""
    device, images = accelerator.device, labelled.images
    classifier.to(device)
    optimizer = torch.optim.AdamW(classifier.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    view = RandomView(VIEWS, classifier.encoder.image_size, classifier.encoder.channels)
    batch_size, labels = min(config.batch_size, len(images)), labelled.labels.to(device)
    order = list(islice(shuffled_indices(len(images), batch_size, f"fine-tuning {seed}"), config.steps))
    best, best_weights = -1.0, classifier.state_dict()
    losses: list[Tensor] = []
    for step, pixels in enumerate(stream(images, order, device, workers=0)):
        classifier.train()
        with accelerator.autocast():
            logits = classifier(view(to_float(pixels), generator_at(seed, "fine-tuning views", step)))
        loss = F.cross_entropy(logits.float(), labels[order[step].to(device)])
        loss.backward()
        losses.append(loss.detach())
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step + 1 in _checks(config.steps):
            _check_finite(losses)
            accuracy = top1(classifier, validation, device)
            if accuracy > best:
                best, best_weights = accuracy, copy.deepcopy(classifier.state_dict())
    classifier.load_state_dict(best_weights)


def two_phase(
    classifier: LinearClassifier, labelled: Labelled, steps: int, seed: int, device: torch.device
) -> TwoPhase:
    """Go on from an explored classifier with a widened last layer, on un-augmented images."""
    features = map_images(classifier.encoder.features, classifier, labelled.images, device)
    return TwoPhase(classifier.head, features, labelled.labels, steps, seed)


def top1(network: nn.Module, images: Images, device: torch.device, head: Head | None = None) -> float:
    """Top-1 accuracy in percent over the images that have a label.

    Args:
        network: images to logits.
        head: takes the place of that of a ``LinearClassifier``; maps features (N, d) on the CPU to logits.
    """
    labels = images.labels
    assert labels is not None
    if head is None:
        predicted = map_images(network, network, images, device).argmax(1)
    else:
        assert isinstance(network, LinearClassifier)
        predicted = head(map_images(network.encoder.features, network, images, device)).argmax(1)
    known = labels >= 0
    return 100 * float((predicted == labels)[known].double().mean())


def _held_out(data: RealData) -> dict[str, Images]:
    return {"validation": data.validation, "test": data.test}


def _check_finite(losses: list[Tensor]) -> None:
    finite = torch.stack(losses).isfinite()
    if not finite.all():
        step = int((~finite).nonzero()[0, 0])
        raise FailureError(
            f"the loss is not finite: it became {losses[step]:.3g} at step {step} of fine-tuning; lower "
            "fine_tuning.learning_rate"
        )


def _checks(steps: int) -> set[int]:
    return {-(-steps * check // CHECKS) for check in range(1, CHECKS + 1)}
