"""The page of a comparison: ways of training side by side, from what `compare` or `headline` has left."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthdata.comparison import BASELINE, Comparison, Summary, Trained, factor_text
from synthdata.errors import MisuseError
from synthdata.publishing.model_card import score_title
from synthdata.publishing.pages.charts import Chart, Dots, dot_chart, line_chart
from synthdata.publishing.pages.document import write_document
from synthdata.publishing.sources import describe_source, without_folders
from synthdata.run_files import read_run_file


@dataclass(frozen=True)
class Compared:
    """Trainings that compare.

    Attributes:
        title: of the page.
        source: the real images, in Markdown.
        facts: what they have in common, as names and values.
        trainings: the finished ones.
        controls: ways that the others are compared with, besides the baseline.
        left: how many are not finished.
        factors: by score and way, how many times as many real images the baseline needs; empty if it was not measured.
    """

    title: str
    source: str
    facts: list[tuple[str, str]]
    trainings: list[Trained]
    controls: list[str]
    left: int
    factors: dict[str, dict[str, float | None]]


def write_comparison_page(folder: Path) -> Path:
    """Write index.html of the folder that `compare` or `headline` left.

    Raises:
        MisuseError: the folder holds neither's results, or they are damaged.
        FailureError: the page cannot be written.
    """
    compared = _headline(folder) if (folder / "table.json").exists() else _compare(folder)
    runs = compared.trainings
    names = [name for name in (runs[0].scores if runs else {}) if all(name in each.scores for each in runs)]
    comparison = Comparison(runs, {name: score_title(name) for name in names}, compared.controls)
    scores, lines = comparison.measures, list(_lines(comparison))
    return write_document(
        folder,
        "comparison.html",
        name=folder.resolve().name,
        title=compared.title,
        source=compared.source,
        facts=compared.facts,
        left=compared.left,
        done=len(runs),
        scores=list(scores.values()),
        lines=lines,
        levels=[_levels(comparison, score) for score in scores],
        gains=[
            chart
            for control in (BASELINE, *comparison.controls)
            for score in scores
            if (chart := _gains(comparison, score, control))
        ],
        curves=[chart for score in scores if (chart := _curves(comparison, score))],
        factors=[
            [way, *(factor_text(compared.factors.get(score, {}).get(way)) for score in scores)]
            for way in comparison.ways
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
    trainings = [Trained(each["way"], each["real_images"], each["seed"], each["scores"]) for each in report["runs"]]
    title = "Datasets compared" if datasets else "Ways of training compared"
    return Compared(title, source, facts, trainings, [], 0, report.get("data_efficiency", {}))


def _headline(folder: Path) -> Compared:
    table = read_run_file(folder / "table.json", dict[str, Any])
    facts = [
        ("in every training", f"{table['steps']:,} encoder steps of {table['batch_size']:,} anchors"),
        ("scored on", f"the {table['split']} split"),
        ("device", ", ".join(sorted({each["machine"].get("device", "") for each in table["runs"]}))),
    ]
    source = describe_source(table["source"])["description"]
    trainings = [Trained(each["arm"], each["images"], each["seed"], each["scores"]) for each in table["runs"]]
    return Compared("The arms compared", source, facts, trainings, table.get("controls", []), len(table["left"]), {})


def _lines(comparison: Comparison) -> Iterator[tuple[str, int, int, list[tuple[Summary, Summary | None]]]]:
    """Way, real images, seeds, and for each score its summary and that of the gain."""
    for way in comparison.ways:
        for images in reversed(comparison.images(way)):
            cells = []
            for score in comparison.measures:
                gains = comparison.gains(way, images, score).values()
                levels = Summary.of(comparison.scores(way, images, score).values())
                cells.append((levels, Summary.of(gains) if gains else None))
            yield way, images, sum((run.way, run.images) == (way, images) for run in comparison.runs), cells


def _levels(comparison: Comparison, score: str) -> Chart:
    lines = []
    for way in comparison.ways:
        images = max(comparison.images(way))
        lines.append(_dots(f"{way}, {images:,} images" if images else way, comparison.scores(way, images, score)))
    return dot_chart(_title(score), "top-1 accuracy, %", lines)


def _gains(comparison: Comparison, score: str, control: str) -> Chart | None:
    lines = [
        _dots(way, gains)
        for way in comparison.ways_over(control)
        if (gains := comparison.gains(way, max(comparison.images(way)), score, control))
    ]
    title = f"{_title(score)}: difference to {control}"
    return dot_chart(title, "points, same seed", lines, zero=True) if lines else None


def _dots(name: str, by_seed: dict[int, float]) -> Dots:
    summary = Summary.of(by_seed.values())
    return Dots(name, [(f"seed {seed}", value) for seed, value in by_seed.items()], summary.mean, summary.half)


def _curves(comparison: Comparison, score: str) -> Chart | None:
    """Accuracy against real images, of the ways with several numbers of them."""
    curves = [curve for way in comparison.ways if len((curve := comparison.curve(way, score)).images) > 1]
    series = {curve.name: list(zip(map(float, curve.images), curve.mean, strict=True)) for curve in curves}
    spread = {curve.name: curve.std for curve in curves}
    labels = ("real images", "top-1 accuracy, %")
    return line_chart(_title(score), series, labels, spread=spread, log_x=True) if series else None


def _title(score: str) -> str:
    plain = score_title(score)
    return plain[0].upper() + plain[1:]
