"""Label reach: how much of the labels a linear readout of frozen features can express, and how much of that is chance.

The condition behind it, that labels lie in the span of what the last layer sees, is the data-architecture alignment of
Kawaguchi, Zhang & Deng ("Understanding Dynamics of Nonlinear Representation Learning", Neural Computation 34(4), 2022).
As yes or no it tells nothing: real labels never lie there on many images, and any do on few. As a share of the labels'
variance beside its chance level it does.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.errors import MisuseError


class UnreachableError(MisuseError):
    """Label reach would tell nothing of these images and features; the message says why."""


@dataclass(frozen=True)
class LabelReach:
    """What a linear readout of n × d features can express of their labels, one-hot; both are centred.

    Attributes:
        images: n.
        features: d.
        rank: of the features: singular values above max(n, d) times float32's precision of the largest.
        reach: R² of least squares, in [0, 1]; 1 where the labels are an affine function of the features.
        chance: its mean over all permutations of the labels, rank / (n − 1).
        excess: (reach − chance) / (1 − chance), the adjusted R²: 0 is no better than permuted labels. Alone
            comparable between encoders whose features differ in number.
        k50: how many of the leading singular directions hold half of what is reached; few are learned early.
        k90: likewise nine tenths.
        floors: for each class the share of its variance that no linear readout reaches; None for a class that has no
            image, or all.
    """

    images: int
    features: int
    rank: int
    reach: float
    chance: float
    excess: float
    k50: int
    k90: int
    floors: tuple[float | None, ...]


def label_reach(features: Tensor, labels: Tensor, classes: int) -> LabelReach:
    """The label reach of features: invertible affine maps of them change nothing but ``k50`` and ``k90``.

    Args:
        features: (n, d), finite.
        labels: (n,) class indices below ``classes``.
        classes: number of classes, those without an image included.

    Raises:
        UnreachableError: all labels are equal, or there are so few images that any labels would be reached.
    """
    count = len(features)
    if not bool(torch.isfinite(features).all()):
        raise UnreachableError("features are not finite: the encoder's weights are damaged")
    if count < classes:
        raise UnreachableError(f"{count:,} labelled images are fewer than the {classes:,} classes: give more")
    if len(labels.unique()) < 2:
        raise UnreachableError(f"all {count:,} images have the same label: label reach needs two classes")
    one_hot = F.one_hot(labels, classes).double()
    targets = one_hot - one_hot.mean(0)
    centred = features.double() - features.double().mean(0)
    directions, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    tolerance = max(features.shape) * torch.finfo(torch.float32).eps
    rank = int((singular > tolerance * singular[0]).sum())
    if count <= rank + 1:
        raise UnreachableError(
            f"{count:,} images have features of rank {rank:,}, which reach any labels: give more images"
        )
    reached = (directions[:, :rank].T @ targets).square()  # (rank, classes)
    variance = targets.square().sum(0)
    reach = float(reached.sum() / variance.sum())
    chance = rank / (count - 1)
    shares = [float(part / whole) if whole > 0 else None for part, whole in zip(reached.sum(0), variance, strict=True)]
    return LabelReach(
        images=count,
        features=features.shape[1],
        rank=rank,
        reach=reach,
        chance=chance,
        excess=(reach - chance) / (1 - chance),
        k50=_directions(reached, 0.5),
        k90=_directions(reached, 0.9),
        floors=tuple(None if share is None else 1 - share for share in shares),
    )


def _directions(reached: Tensor, share: float) -> int:
    """How many leading rows hold ``share`` of the sum of all; 0 where that is nothing."""
    total = reached.sum(1).cumsum(0)
    if not len(total) or total[-1] <= 0:
        return 0
    return int((total < share * total[-1]).sum()) + 1
