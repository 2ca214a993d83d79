"""What a client minimises, from the second task on."""

import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.federated.config import ContrastConfig, RehearsalConfig
from synthdata.federated.memory import Memory
from synthdata.federated.model import last_layer
from synthdata.models import LinearClassifier
from synthdata.objectives import (
    head_cross_entropy,
    importance_weighted_distillation,
    logit_distillation,
    nt_xent,
    split_cross_entropy,
)
from synthdata.views import RandomView


def mfcl_loss(
    model: LinearClassifier,
    memory: Memory,
    real: tuple[Tensor, Tensor],
    rehearsed: tuple[Tensor, Tensor],
    config: RehearsalConfig,
) -> Tensor:
    """The client's loss of MFCL, from the second task on; a scalar.

    Args:
        real: images of the client and their labels, all of new classes.
        rehearsed: images of old classes, and what the teacher takes them for.
    """
    images, labels = (torch.cat(parts) for parts in zip(real, rehearsed, strict=True))
    features, head = model.encoder.features(images).float(), last_layer(model)
    with torch.no_grad():
        before = memory.teacher.encoder.features(images).float()
    logits = head(features[: len(real[0])]).float()
    old = memory.classes if config.split else 0
    distance = importance_weighted_distillation(features, before, last_layer(memory.teacher).weight)
    return (
        split_cross_entropy(logits, real[1], old)
        + config.head_weight * head_cross_entropy(features, head.weight, head.bias, labels)
        + config.distillation_weight * distance
    )


def lwf_loss(
    model: LinearClassifier, memory: Memory, images: Tensor, labels: Tensor, config: RehearsalConfig
) -> Tensor:
    """Cross entropy over all classes, and the teacher's answers about the old ones, on real images; a scalar."""
    with torch.no_grad():
        before = memory.teacher(images).float()
    logits = model(images).float()
    distance = logit_distillation(logits, before, config.lwf_temperature)
    return F.cross_entropy(logits, labels) + config.lwf_weight * distance


def contrastive_loss(
    model: LinearClassifier,
    memory: Memory | None,
    images: Tensor,
    random: torch.Generator,
    config: ContrastConfig,
    distillation_weight: float,
) -> Tensor:
    """NT-Xent of the features of two views of images, real and rehearsed; a scalar that the last layer has no part in.

    From the second task on, the features are held where the old layer looks at them, as in ``mfcl_loss``.
    """
    view = RandomView(config.views, model.encoder.image_size, model.encoder.channels)
    views = torch.cat([view(images, random), view(images, random)])
    features = model.encoder.features(views).float()
    first, second = F.normalize(features, dim=1).chunk(2)
    loss = nt_xent(first, second, config.temperature)
    if memory is None:
        return loss
    with torch.no_grad():
        before = memory.teacher.encoder.features(views).float()
    old = last_layer(memory.teacher).weight
    return loss + distillation_weight * importance_weighted_distillation(features, before, old)
