"""Accuracy against the number of real images, and how many real images synthetic ones are worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_LEVELS = 1001


@dataclass(frozen=True)
class Curve:
    """Accuracy of one way of training against the number of real images.

    Attributes:
        name: of the way of training.
        images: real images, each number at most once.
        mean: top-1 accuracy in percent for each of ``images``, a mean over seeds.
        std: its standard deviation over the seeds.
    """

    name: str
    images: list[int]
    mean: list[float]
    std: list[float]


def data_efficiency(baseline: Curve, improved: Curve) -> float | None:
    """How many times as many real images the baseline needs for the improved curve's accuracy.

    It is the horizontal distance of the curves on a logarithmic axis of images, averaged over all accuracies that both
    reach: between its points a curve is linear in the logarithm of the images, it is never extrapolated, and more
    images never count as less accurate. Exchanging the curves gives the reciprocal.

    Returns:
        The factor; above 1 where ``improved`` needs fewer images. None where the curves share no accuracy.
    """
    (log_baseline, baseline_means), (log_improved, improved_means) = _rising(baseline), _rising(improved)
    low = max(baseline_means[0], improved_means[0])
    high = min(baseline_means[-1], improved_means[-1])
    if low > high:
        return None
    levels = np.linspace(low, high, _LEVELS)
    needed = np.interp(levels, baseline_means, log_baseline) - np.interp(levels, improved_means, log_improved)
    return math.exp(float(np.trapezoid(needed) / (_LEVELS - 1)))


def plot_curves(curves: Sequence[Curve], path: Path) -> None:
    """Draw accuracy against real images, logarithmic, with error bars of one standard deviation, into a PNG file."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    for curve in curves:
        axis.errorbar(*_sorted(curve), marker="o", markersize=4, capsize=3, label=curve.name)
    ticks = sorted({count for curve in curves for count in curve.images})
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axis.minorticks_off()
    axis.set(xlabel="real images", ylabel="top-1 accuracy, %")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _sorted(curve: Curve) -> tuple[list[int], list[float], list[float]]:
    points = sorted(zip(curve.images, curve.mean, curve.std, strict=True))
    return [point[0] for point in points], [point[1] for point in points], [point[2] for point in points]


def _rising(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Log of the images and accuracy at the points that are better than all with fewer images."""
    images, means, _ = _sorted(curve)
    best = np.maximum.accumulate(means)
    better = np.concatenate([[True], best[1:] > best[:-1]])
    return np.log(images)[better], best[better]
