"""Label reach of an encoder on held-out images, over several draws of them, and how a report tells it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synthdata.comparison import Summary
from synthdata.data import Images, RealData
from synthdata.errors import MisuseError
from synthdata.evaluation.features import extract_features
from synthdata.evaluation.reach import LabelReach, UnreachableError, label_reach
from synthdata.models import Encoder
from synthdata.rng import generator_at

IMAGES_PER_FEATURE = 10
"""With fewer images for each feature, chance alone reaches more than a tenth of the labels' variance."""

LEAST = 3
"""Classes that a table names, the least reachable first."""


@dataclass(frozen=True)
class HeldOutReach:
    """Label reach on held-out images.

    Attributes:
        classes: names by label.
        held_out: labelled images that were drawn from.
        draws: one for each draw; empty where it was refused.
        refused: why it was not measured; None where it was.
    """

    classes: list[str]
    held_out: int
    draws: list[LabelReach]
    refused: str | None = None

    def summary(self, figure: str) -> Summary:
        """Mean and standard deviation over the draws of a number of ``LabelReach``."""
        return Summary.of([getattr(draw, figure) for draw in self.draws])

    def floors(self) -> dict[str, Summary]:
        """Floors of the classes that were drawn, the least reachable class first."""
        by_class = {
            name: [floor for draw in self.draws if (floor := draw.floors[label]) is not None]
            for label, name in enumerate(self.classes)
        }
        floors = {name: Summary.of(values) for name, values in by_class.items() if values}
        return dict(sorted(floors.items(), key=lambda item: -item[1].mean))

    def as_json(self) -> dict[str, Any]:
        """All figures, or why there are none."""
        if self.refused is not None:
            return {"refused": self.refused}
        figures = ("reach", "chance", "excess", "rank", "k50", "k90")
        return {
            "images": self.draws[0].images,
            "held_out_images": self.held_out,
            "features": self.draws[0].features,
            **{figure: self.summary(figure).as_json() for figure in figures},
            "floors": {name: floor.as_json() for name, floor in self.floors().items()},
        }

    def __str__(self) -> str:
        if self.refused is not None:
            return f"not measured: {self.refused}"
        reach, chance, excess, half, most = map(self.summary, ("reach", "chance", "excess", "k50", "k90"))
        least = ", ".join(f"{name} ({floor})" for name, floor in list(self.floors().items())[:LEAST])
        return (
            f"{reach} (chance {chance.mean:.2f}), excess {excess}; half in {half.mean:.1f} directions, 90 % in"
            f" {most.mean:.1f}; least reachable, with the share out of reach: {least}; {self.draws[0].images:,} of"
            f" {self.held_out:,} held-out images, {self.draws[0].features:,} features"
        ).replace("|", r"\|")  # a cell of a table, whatever classes are called


def held_out_reach(
    encoder: Encoder, data: RealData, device: torch.device, draws: int, images: int | None = None, test: bool = True
) -> HeldOutReach:
    """Label reach over random draws, without replacement, of the held-out labelled images.

    Args:
        images: of one draw; ``IMAGES_PER_FEATURE`` for each feature if not given. Encoders compare at equal numbers.
        draws: one where all held-out images are drawn. Draws of more than half of them overlap much, and their spread
            is then smaller than that over other images.
        test: hold out the test images as well as the validation images.

    Returns:
        Refused where there are too few images for the features, or all have one label.

    Raises:
        MisuseError: ``images`` asks for more than there are.
    """
    assert data.classes is not None
    splits = [data.validation, data.test] if test else [data.validation]
    known = [_labelled(split) for split in splits]
    count, needed = sum(len(positions) for positions in known), IMAGES_PER_FEATURE * encoder.feature_dim
    if images is not None and images > count:
        raise MisuseError(f"reach_images asks for {images:,} held-out labelled images of {count:,}: give at most that")
    drawn = needed if images is None else images
    if min(drawn, count) < needed:
        told = (
            f"too few images for {encoder.feature_dim:,} features: {min(drawn, count):,} of {count:,} held-out labelled"
            f" images, and chance alone reaches too much with fewer than {needed:,}"
        )
        return HeldOutReach(data.classes, count, [], told)
    draws = draws if drawn < count else 1
    taken = [torch.randperm(count, generator=generator_at("label reach", draw))[:drawn] for draw in range(draws)]
    features, labels, rows = _features(encoder, splits, known, torch.cat(taken).unique(), device)
    try:
        reached = [label_reach(features[rows[draw]], labels[rows[draw]], len(data.classes)) for draw in taken]
    except UnreachableError as error:
        return HeldOutReach(data.classes, count, [], str(error))
    return HeldOutReach(data.classes, count, reached)


def _labelled(images: Images) -> Tensor:
    """Positions of the images that have a label."""
    labels = images.labels
    return torch.empty(0, dtype=torch.long) if labels is None else (labels >= 0).nonzero()[:, 0]


def _features(
    encoder: Encoder, splits: list[Images], known: list[Tensor], used: Tensor, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Features and labels of those labelled images, counted on over the splits, that are ``used``; and their rows."""
    features, labels, before = [], [], 0
    for split, positions in zip(splits, known, strict=True):
        own = used[(used >= before) & (used < before + len(positions))] - before
        before += len(positions)
        if len(own):
            part = split.subset(positions[own])
            assert part.labels is not None
            features.append(extract_features(encoder, part, device))
            labels.append(part.labels)
    rows = torch.full((before,), -1)
    rows[used] = torch.arange(len(used))
    return torch.cat(features), torch.cat(labels), rows
