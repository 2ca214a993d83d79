"""Ways of training side by side: tables and the data efficiency, from the scores of finished runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthdata.comparison.efficiency import Curve, data_efficiency
from synthdata.comparison.summary import GAINS, Summary, markdown_table

BASELINE = "real"
"""The way of training that gains are differences to: real images alone."""


@dataclass(frozen=True)
class Trained:
    """One finished training.

    Attributes:
        way: name of the way of training.
        images: real images that it was trained on.
        seed: its seed.
        scores: top-1 accuracy in percent by measure.
    """

    way: str
    images: int
    seed: int
    scores: dict[str, float]


class Comparison:
    """Finished trainings of several ways, each over seeds and numbers of real images.

    Args:
        runs: the trainings, of which all have all measures.
        measures: titles by the name of a measure.
        controls: ways that the tables compare the others with, besides the baseline.
    """

    def __init__(self, runs: Sequence[Trained], measures: Mapping[str, str], controls: Sequence[str] = ()) -> None:
        self.runs, self.measures, self.controls = list(runs), dict(measures), list(controls)
        self.ways = list(dict.fromkeys(run.way for run in runs))

    def scores(self, way: str, images: int, measure: str) -> dict[int, float]:
        """Accuracy in percent by seed."""
        return {run.seed: run.scores[measure] for run in self.runs if (run.way, run.images) == (way, images)}

    def images(self, way: str) -> list[int]:
        """Numbers of real images that this way was trained on, rising."""
        return sorted({run.images for run in self.runs if run.way == way})

    def gains(self, way: str, images: int, measure: str, control: str = BASELINE) -> dict[int, float]:
        """Differences to ``control`` of the same seed and number of images, in points by seed; none of itself.

        A way without real images is compared with the control on most images.
        """
        before = self.scores(control, images or max(self.images(control), default=0), measure)
        scores = self.scores(way, images, measure)
        return {seed: scores[seed] - before[seed] for seed in scores if seed in before} if way != control else {}

    def ways_over(self, control: str) -> list[str]:
        """The ways to compare with it; with another control than the baseline, those that are no controls."""
        return [way for way in self.ways if control == BASELINE or way not in (BASELINE, *self.controls)]

    def curve(self, way: str, measure: str) -> Curve:
        """Accuracy against real images."""
        images = [count for count in self.images(way) if count]
        points = [Summary.of(self.scores(way, count, measure).values()) for count in images]
        return Curve(way, images, [point.mean for point in points], [point.std for point in points])

    def curves(self, measure: str) -> list[Curve]:
        """The curves with more than one point, the baseline first; empty without a baseline of several points."""
        curves = [self.curve(way, measure) for way in self.ways]
        several = [curve for curve in curves if len(curve.images) > 1]
        return several if any(curve.name == BASELINE for curve in several) else []

    def factors(self, measure: str) -> dict[str, float | None]:
        """How many times as many real images the baseline needs, by way of training; see `data_efficiency`."""
        curves = {curve.name: curve for curve in self.curves(measure)}
        return {way: data_efficiency(curves[BASELINE], curve) for way, curve in curves.items() if way != BASELINE}


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All runs, their summaries and gains, and the data-efficiency factors."""
    summaries = [
        {
            "way": way,
            "real_images": images,
            "scores": {
                measure: Summary.of(comparison.scores(way, images, measure).values()).as_json()
                for measure in comparison.measures
            },
            "gains": {
                measure: Summary.of(gains.values()).as_json()
                for measure in comparison.measures
                if (gains := comparison.gains(way, images, measure))
            },
        }
        for way in comparison.ways
        for images in comparison.images(way)
    ]
    runs = [
        {"way": run.way, "real_images": run.images, "seed": run.seed, "scores": run.scores} for run in comparison.runs
    ]
    efficiency = {measure: comparison.factors(measure) for measure in comparison.measures}
    return {"summaries": summaries, "data_efficiency": efficiency, "runs": runs}


def as_markdown(comparison: Comparison) -> str:
    """The tables of scores, gains and factors, and the best way of training by each measure."""
    titles = list(comparison.measures.values())
    parts = [markdown_table(["trained on", "real images", "seeds", *titles], _score_rows(comparison))]
    for control in (BASELINE, *comparison.controls):
        if gains := _gain_rows(comparison, control):
            told = f"Gain over `{control}`, {GAINS}"
            if any(images == "0" for _, images, *_ in gains):
                told += f"; without real images, over `{control}` on most images"
            parts.append(f"{told}:\n\n{markdown_table(['trained on', 'real images', *titles], gains)}")
    if factors := _factor_rows(comparison):
        told = (
            "Data efficiency: how many times as many real images `real` needs for the same accuracy (– where the curves"
            " share no accuracy):"
        )
        parts.append(f"{told}\n\n{markdown_table(['trained on', *titles], factors)}")
    return "\n".join([*parts, _best(comparison)])


def _score_rows(comparison: Comparison) -> list[list[str]]:
    rows = []
    for way in comparison.ways:
        for images in comparison.images(way):
            scores = [list(comparison.scores(way, images, measure).values()) for measure in comparison.measures]
            rows.append([way, f"{images:,}", str(len(scores[0])), *(str(Summary.of(values)) for values in scores)])
    return rows


def _gain_rows(comparison: Comparison, control: str) -> list[list[str]]:
    rows = []
    for way in comparison.ways_over(control):
        for images in comparison.images(way):
            gains = [comparison.gains(way, images, measure, control).values() for measure in comparison.measures]
            if all(gains):
                rows.append([way, f"{images:,}", *(Summary.of(values).as_gain for values in gains)])
    return rows


def _factor_rows(comparison: Comparison) -> list[list[str]]:
    by_measure = [comparison.factors(measure) for measure in comparison.measures]
    return [
        [way, *(factor_text(factors.get(way)) for factors in by_measure)]
        for way in comparison.ways
        if any(way in factors for factors in by_measure)
    ]


def factor_text(factor: float | None) -> str:
    """A data efficiency in a table."""
    return "–" if factor is None else f"{factor:.2f} ×"


def _best(comparison: Comparison) -> str:
    """One line for each measure: the best way of training on most real images."""
    lines = []
    for measure, title in comparison.measures.items():
        summaries = {
            way: Summary.of(comparison.scores(way, max(comparison.images(way)), measure).values())
            for way in comparison.ways
        }
        way = max(summaries, key=lambda way: summaries[way].mean)
        lines.append(f"Best by {title}: {way}, {summaries[way]} %.\n")
    return "".join(f"- {line}" for line in lines)
