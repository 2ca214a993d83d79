"""The page of a comparison: ways of training side by side, from what `compare` or `headline` has left."""

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.special import stdtrit

from synthdata.errors import MisuseError
from synthdata.publishing.model_card import score_title
from synthdata.publishing.pages.charts import Chart, Dots, dot_chart, line_chart
from synthdata.publishing.pages.document import write_document
from synthdata.publishing.sources import describe_source, without_folders
from synthdata.run_files import read_run_file

BASELINE = "real"
"""The way of training that gains are differences to."""

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Training:
    """One finished training: its way, its number of real images, its seed, and its accuracies in percent by name."""

    way: str
    images: int
    seed: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Compared:
    """Trainings that compare.

    Attributes:
        title: of the page.
        source: the real images, in Markdown.
        facts: what they have in common, as names and values.
        trainings: the finished ones.
        left: how many are not finished.
        factors: by score and way, how many times as many real images the baseline needs; empty if it was not measured.
    """

    title: str
    source: str
    facts: list[tuple[str, str]]
    trainings: list[Training]
    left: int
    factors: dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Cell:
    """Mean and spread of some values, and the interval of their mean; ``half`` is None for fewer than two."""

    values: list[float]
    mean: float
    spread: float
    half: float | None

    @classmethod
    def of(cls, values: list[float]) -> "Cell":
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        half = None
        if len(values) > 1:
            quantile = float(stdtrit(len(values) - 1, (1 + _CONFIDENCE) / 2))
            half = quantile * spread / len(values) ** 0.5
        return cls(values, statistics.fmean(values), spread, half)


def write_comparison_page(folder: Path) -> Path:
    """Write index.html of the folder that `compare` or `headline` left.

    Raises:
        MisuseError: the folder holds neither's results, or they are damaged.
        FailureError: the page cannot be written.
    """
    compared = _headline(folder) if (folder / "table.json").exists() else _compare(folder)
    trainings = compared.trainings
    scores = [name for name in dict.fromkeys(name for each in trainings for name in each.scores)]
    ways = list(dict.fromkeys(each.way for each in trainings))
    lines = list(_lines(trainings, ways, scores))
    return write_document(
        folder,
        "comparison.html",
        name=folder.resolve().name,
        title=compared.title,
        source=compared.source,
        facts=compared.facts,
        left=compared.left,
        done=len(trainings),
        scores=[score_title(name) for name in scores],
        lines=lines,
        levels=[_levels(trainings, ways, score) for score in scores],
        gains=[chart for score in scores if (chart := _gains(trainings, ways, score))],
        curves=[chart for score in scores if (chart := _curves(trainings, ways, score))],
        factors=[
            [way, *(_factor(compared.factors.get(score, {}).get(way)) for score in scores)]
            for way in ways
            if any(way in factors for factors in compared.factors.values())
        ],
        fewest=min((line[2] for line in lines), default=0),
        baseline=BASELINE,
        files=[name for name in ("report.md", "report.json", "table.md", "table.json") if (folder / name).is_file()],
    )


def _compare(folder: Path) -> Compared:
    report = read_run_file(folder / "report.json", dict[str, Any])
    if "runs" not in report:
        raise MisuseError(f"{folder}/report.json is not of a comparison: name the --output of recipes/compare.py")
    datasets = ", ".join(without_folders(each) for each in report["shards"])
    facts = [
        *([("datasets", datasets)] if datasets else []),
        ("method", report["method"]),
        ("in every training", f"{report['steps']:,} steps of {report['anchors_per_step']:,} anchors"),
        ("scored on", f"the {report['split']} split"),
        ("device", report["device"]),
    ]
    source = describe_source(report["source"])["description"]
    trainings = [Training(each["way"], each["real_images"], each["seed"], each["scores"]) for each in report["runs"]]
    title = "Datasets compared" if datasets else "Ways of training compared"
    return Compared(title, source, facts, trainings, 0, report.get("data_efficiency", {}))


def _headline(folder: Path) -> Compared:
    table = read_run_file(folder / "table.json", dict[str, Any])
    facts = [
        ("in every training", f"{table['steps']:,} encoder steps of {table['batch_size']:,} anchors"),
        ("scored on", f"the {table['split']} split"),
        ("device", ", ".join(sorted({each["machine"].get("device", "") for each in table["runs"]}))),
    ]
    source = describe_source(table["source"])["description"]
    trainings = [Training(each["arm"], each["images"], each["seed"], each["scores"]) for each in table["runs"]]
    return Compared("The arms compared", source, facts, trainings, len(table["left"]), {})


def _places(trainings: list[Training], ways: list[str]) -> list[tuple[str, int]]:
    """Ways and numbers of real images, in the order of the table."""
    places = {(each.way, each.images) for each in trainings}
    return sorted(places, key=lambda place: (ways.index(place[0]), -place[1]))


def _values(trainings: list[Training], way: str, images: int, score: str) -> dict[int, float]:
    """By seed."""
    here = (each for each in trainings if (each.way, each.images) == (way, images) and score in each.scores)
    return {each.seed: each.scores[score] for each in here}


def _differences(trainings: list[Training], way: str, images: int, score: str) -> dict[int, float]:
    """To the baseline of the same seed; a way without real images compares with the baseline on most images."""
    most = max((each.images for each in trainings if each.way == BASELINE), default=0)
    before = _values(trainings, BASELINE, images or most, score)
    values = _values(trainings, way, images, score)
    return {seed: value - before[seed] for seed, value in values.items() if seed in before} if way != BASELINE else {}


def _lines(trainings: list[Training], ways: list[str], scores: list[str]) -> Iterator[tuple[str, int, int, list[Any]]]:
    """Way, real images, seeds, and for each score its cell and that of the gain, or None."""
    for way, images in _places(trainings, ways):
        cells: list[tuple[Cell | None, Cell | None]] = []
        for score in scores:
            values, gains = (list(of(trainings, way, images, score).values()) for of in (_values, _differences))
            cells.append((Cell.of(values) if values else None, Cell.of(gains) if gains else None))
        yield way, images, len({each.seed for each in trainings if (each.way, each.images) == (way, images)}), cells


def _most_images(trainings: list[Training], ways: list[str]) -> list[tuple[str, int]]:
    return [(way, max(each.images for each in trainings if each.way == way)) for way in ways]


def _levels(trainings: list[Training], ways: list[str], score: str) -> Chart:
    lines = []
    for way, images in _most_images(trainings, ways):
        if values := _values(trainings, way, images, score):
            lines.append(_dots(f"{way}, {images:,} images" if images else way, values))
    return dot_chart(_title(score), "top-1 accuracy, %", lines)


def _gains(trainings: list[Training], ways: list[str], score: str) -> Chart | None:
    lines = []
    for way, images in _most_images(trainings, ways):
        if values := _differences(trainings, way, images, score):
            lines.append(_dots(way, values))
    title = f"{_title(score)}: difference to {BASELINE}"
    return dot_chart(title, "points, same seed", lines, zero=True) if lines else None


def _dots(name: str, values: dict[int, float]) -> Dots:
    cell = Cell.of(list(values.values()))
    return Dots(name, [(f"seed {seed}", value) for seed, value in values.items()], cell.mean, cell.half)


def _curves(trainings: list[Training], ways: list[str], score: str) -> Chart | None:
    """Accuracy against real images, of the ways with several numbers of them."""
    series, spread = {}, {}
    for way, places in itertools.groupby(sorted(_places(trainings, ways)), key=lambda place: place[0]):
        counts = [images for _, images in places if images and _values(trainings, way, images, score)]
        cells = [Cell.of(list(_values(trainings, way, images, score).values())) for images in counts]
        if len(counts) > 1:
            series[way] = [(float(images), cell.mean) for images, cell in zip(counts, cells, strict=True)]
            spread[way] = [cell.spread for cell in cells]
    labels = ("real images", "top-1 accuracy, %")
    return line_chart(_title(score), series, labels, spread=spread, log_x=True) if series else None


def _title(score: str) -> str:
    plain = score_title(score)
    return plain[0].upper() + plain[1:]


def _factor(factor: float | None) -> str:
    return "–" if factor is None else f"{factor:.2f} ×"
