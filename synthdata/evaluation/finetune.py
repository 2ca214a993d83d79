"""Fine-tuning: what an encoder is worth as the start of supervised training."""

import copy
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from synthdata.data import Images, RealData, shuffled_indices, stream, to_float
from synthdata.errors import FailureError
from synthdata.evaluation.features import map_images
from synthdata.evaluation.probe import label_subset
from synthdata.models import Encoder
from synthdata.ranges import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from synthdata.rng import generator_at
from synthdata.views import RandomView, ViewConfig

CHECKS = 5
"""How many times along the way the validation split decides whether the weights are the best so far."""

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
    """

    steps: NonNegativeInt = 300
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.05


class _Classifier(nn.Module):
    """The encoder without its projection head, and a linear layer that starts from zero."""

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        self.encoder.projection_head = nn.Sequential()
        self.head = nn.Linear(encoder.feature_dim, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder.features(images))


def fine_tune(
    encoder: Encoder, data: RealData, budget: int, seed: int, config: FineTuningConfig, accelerator: Accelerator
) -> dict[str, float]:
    """Train a copy of ``encoder`` and a classifier with the labels of a few images; the encoder stays as it is.

    The weights that score best on the validation split, of ``CHECKS`` along the way, are scored on the test split.

    Args:
        data: labelled images.
        budget: number of labels over all classes.
        seed: of the draw of the labels, the batches and the views.
        accelerator: device and precision. Every process computes the same.

    Returns:
        ``validation`` and ``test``: top-1 accuracies in percent.

    Raises:
        FailureError: the loss is not finite.
    """
    assert data.labelled.labels is not None
    assert data.classes is not None
    positions = label_subset(data.labelled.labels, budget, seed)
    labels = data.labelled.labels[positions].to(accelerator.device)
    images = data.labelled.subset(positions)
    classifier = _Classifier(encoder, len(data.classes)).to(accelerator.device)
    optimizer = torch.optim.AdamW(classifier.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    view = RandomView(VIEWS, encoder.image_size, encoder.channels)
    batch_size = min(config.batch_size, len(images))
    order = list(islice(shuffled_indices(len(images), batch_size, f"fine-tuning {seed}"), config.steps))
    best, best_weights = -1.0, classifier.state_dict()
    losses: list[Tensor] = []
    for step, pixels in enumerate(stream(images, order, accelerator.device, workers=0)):
        classifier.train()
        with accelerator.autocast():
            logits = classifier(view(to_float(pixels), generator_at(seed, "fine-tuning views", step)))
        loss = F.cross_entropy(logits.float(), labels[order[step].to(labels.device)])
        loss.backward()
        losses.append(loss.detach())
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step + 1 in _checks(config.steps):
            _check_finite(losses)
            accuracy = _top1(classifier, data.validation, accelerator.device)
            if accuracy > best:
                best, best_weights = accuracy, copy.deepcopy(classifier.state_dict())
    classifier.load_state_dict(best_weights)
    return {"validation": best, "test": _top1(classifier, data.test, accelerator.device)}


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


def _top1(classifier: _Classifier, images: Images, device: torch.device) -> float:
    """Top-1 accuracy in percent over the images that have a label."""
    labels = images.labels
    assert labels is not None
    predicted = map_images(classifier, classifier, images, device).argmax(1)
    known = labels >= 0
    return 100 * float((predicted == labels)[known].double().mean())
