"""What a classifier learns new classes from without losing the old ones.

The three terms of MFCL (Babakniya et al., NeurIPS 2023) and its parent, Always Be Dreaming (Smith et al., ICCV 2021):
one that separates the new classes from each other, one that trains the last layer alone, one that holds the features
where the old layer looks at them. Beside them the distillation of Learning without Forgetting (Li & Hoiem, ECCV 2016)
and the proximal term of FedProx (Li et al., MLSys 2020).

Old classes are the first columns of the logits.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def split_cross_entropy(logits: Tensor, labels: Tensor, old_classes: int) -> Tensor:
    """Cross entropy among the new classes alone; the logits of old ones get no gradient.

    Over all classes, images of new classes alone would teach that no image is of an old one.

    Args:
        logits: (N, K) over all classes.
        labels: (N,) int64 in [old_classes, K).
        old_classes: number of old classes.

    Returns:
        Scalar, in nats.
    """
    return F.cross_entropy(logits[:, old_classes:], labels - old_classes)


def head_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over all classes that trains the last layer alone: no gradient reaches the features.

    Args:
        features: (N, D).
        weight: (K, D) of the last layer.
        bias: (K,) of the last layer.
        labels: (N,) int64.

    Returns:
        Scalar, in nats.
    """
    return F.cross_entropy(F.linear(features.detach(), weight, bias), labels)


def importance_weighted_distillation(features: Tensor, old_features: Tensor, old_weight: Tensor) -> Tensor:
    """How far features have moved from the old ones, as the old last layer sees it.

    Args:
        features: (N, D) of the network that learns.
        old_features: (N, D) of the network before, for the same images.
        old_weight: (K, D) of the last layer before; it stays as it is.

    Returns:
        Scalar: the squared difference of the old layer's logits, averaged over images and old classes.
    """
    return F.linear(features - old_features.detach(), old_weight.detach()).square().mean()


def logit_distillation(logits: Tensor, old_logits: Tensor, temperature: float) -> Tensor:
    """Divergence of the answers about the old classes from those of the network before.

    Args:
        logits: (N, K) of the network that learns.
        old_logits: (N, K_old) with K_old ≤ K, of the network before.
        temperature: divisor of the logits.

    Returns:
        Scalar, in nats: KL(before ‖ now), times the squared temperature.
    """
    now = F.log_softmax(logits[:, : old_logits.shape[1]] / temperature, 1)
    before = F.log_softmax(old_logits.detach() / temperature, 1)
    return F.kl_div(now, before, reduction="batchmean", log_target=True) * temperature**2


def proximal_term(parameters: Iterable[Tensor], anchors: Iterable[Tensor]) -> Tensor:
    """Half the squared distance of parameters from those that training began with; a scalar."""
    pairs = zip(parameters, anchors, strict=True)
    return torch.stack([(value - anchor.detach()).square().sum() for value, anchor in pairs]).sum() / 2
