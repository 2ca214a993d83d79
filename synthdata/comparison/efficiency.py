"""Accuracy against the number of real images, and how many real images synthetic ones are worth."""

import math
from dataclasses import dataclass

import numpy as np

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

    def rising(self) -> tuple[list[int], list[float], list[float]]:
        """Images, mean and std in the order of the images."""
        points = sorted(zip(self.images, self.mean, self.std, strict=True))
        return [point[0] for point in points], [point[1] for point in points], [point[2] for point in points]


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


def _rising(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Log of the images and accuracy at the points that are better than all with fewer images."""
    images, means, _ = curve.rising()
    best = np.maximum.accumulate(means)
    better = np.concatenate([[True], best[1:] > best[:-1]])
    return np.log(images)[better], best[better]
