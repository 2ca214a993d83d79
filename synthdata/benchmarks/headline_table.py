"""The table of the arms, as text and JSON, and the curve of the data efficiency."""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from synthdata.evaluation.efficiency import Curve, data_efficiency, plot_curves
from synthdata.evaluation.score import score_name
from synthdata.evaluation.summary import Summary, markdown_table
from synthdata.formats import FinishedReport
from synthdata.run_files import read_run_file
from synthdata.training.run_directory import write_aside, writing

SCORES = {"linear_top1": "linear", "knn_top1": "k-NN"}


@dataclass(frozen=True)
class Row:
    """One finished training.

    Attributes:
        arm: its arm.
        seed: its seed.
        images: real images that it was trained on.
        steps: encoder steps.
        scores: top-1 accuracies in percent, by the names of ``SCORES``.
        minutes: of its iterations.
        machine: device and library versions.
    """

    arm: str
    seed: int
    images: int
    steps: int
    scores: dict[str, float]
    minutes: float
    machine: dict[str, Any]

    @classmethod
    def of(cls, arm: str, seed: int, images: int, report: Path, split: str) -> Self:
        """The training that left ``report``, with its scores on ``split``."""
        content: dict[str, Any] = dict(read_run_file(report, FinishedReport))
        named = {name: content.get(score_name(split, name)) for name in SCORES}
        return cls(
            arm,
            seed,
            images,
            steps=content.get("steps", 0),
            scores={name: score for name, score in named.items() if score is not None},
            minutes=content["wall_seconds"] / 60,
            machine={key: content[key] for key in ("device", "processes", "versions") if key in content},
        )


@dataclass(frozen=True)
class Results:
    """What is known so far.

    Attributes:
        source: the real images.
        split: what the scores are measured on.
        images: real images of the main table.
        steps: encoder steps of every run.
        batch_size: anchors of a step.
        improved: the arm of the data efficiency.
        arms: rows of the main table.
        runs: the finished trainings.
        generators: the finished pre-trainings.
        left: names of the trainings that are not finished, in their order.
    """

    source: str
    split: str
    images: int
    steps: int
    batch_size: int
    improved: str
    arms: list[str]
    runs: list[Row]
    generators: list[Row]
    left: list[str]


def write_results(results: Results, folder: Path) -> str:
    """Write table.md and table.json, and the plot once there is something to compare; returns the text of table.md."""
    efficiency = _efficiency(results, folder)
    text = "\n\n".join(part for part in (_heading(results), _main_table(results), efficiency, _rest(results)) if part)
    write_aside(folder / "table.md", text + "\n")
    write_aside(folder / "table.json", json.dumps(dataclasses.asdict(results), indent=2) + "\n")
    return text


def _heading(results: Results) -> str:
    return (
        f"{results.source}, {results.images:,} real images; {results.steps:,} encoder steps of {results.batch_size:,}"
        f" anchors in every arm. Top-1 accuracy on the {results.split} split in percent: mean ± sample standard"
        " deviation over the seeds named. Gains are differences to `real` of the same seed."
    )


def _main_table(results: Results) -> str:
    lines = []
    real = {row.seed: row for row in _rows(results, "real", results.images)}
    for arm in results.arms:
        rows = _rows(results, arm, results.images)
        seeds = f"{', '.join(str(row.seed) for row in rows)} (n = {len(rows)})" if rows else "none yet"
        scores = [_shown([row.scores[name] for row in rows]) for name in SCORES]
        paired = [row for row in rows if arm != "real" and row.seed in real]
        gains = [_shown([row.scores[name] - real[row.seed].scores[name] for row in paired]) for name in SCORES]
        minutes = f"{statistics.mean(row.minutes for row in rows):.1f}" if rows else ""
        lines.append([arm, seeds, *scores, *gains, minutes])
    titles = list(SCORES.values())
    header = ["arm", "seeds", *titles, *(f"gain, {title}" for title in titles), "minutes a run"]
    return markdown_table(header, lines).rstrip()


def _efficiency(results: Results, folder: Path) -> str:
    """The table of the data efficiency, the factor, and, drawn into ``folder``, the plot."""
    counts = sorted({row.images for row in results.runs})
    arms = ("real", results.improved)
    shared = [count for count in counts if all(_rows(results, arm, count) for arm in arms)]
    if len(shared) < 2:
        return ""
    parts = []
    for name, title in SCORES.items():
        cells = {arm: [[row.scores[name] for row in _rows(results, arm, count)] for count in shared] for arm in arms}
        curves = [_curve(arm, shared, cells[arm]) for arm in arms]
        with writing(folder / f"efficiency-{name}.png"):
            plot_curves(curves, folder / f"efficiency-{name}.png")
        lines = [
            [f"{count:,}", *(_shown(scores) for scores in values), " and ".join(f"n = {len(s)}" for s in values)]
            for count, *values in zip(shared, *cells.values(), strict=True)
        ]
        header = ["real images", *(f"{arm}, {title}" for arm in arms), "seeds"]
        parts += [markdown_table(header, lines).rstrip(), _factor(data_efficiency(*curves), results.improved)]
    return "\n\n".join(parts)


def _factor(factor: float | None, improved: str) -> str:
    if factor is None:
        return "Data efficiency: none, the two curves share no accuracy."
    return f"Data efficiency: `real` needs {factor:.2f} times as many real images for the accuracy of `{improved}`."


def _curve(name: str, images: list[int], values: list[list[float]]) -> Curve:
    summaries = [Summary.of(scores) for scores in values]
    return Curve(name, images, [each.mean for each in summaries], [each.std for each in summaries])


def _shown(values: Sequence[float]) -> str:
    return str(Summary.of(values)) if values else ""


def _rest(results: Results) -> str:
    parts = []
    if results.generators:
        minutes = statistics.mean(row.minutes for row in results.generators)
        parts.append(f"Pre-training of a generator: {minutes:.1f} minutes, mean of {len(results.generators)}.")
    machines = {json.dumps(row.machine, sort_keys=True): row.machine for row in results.runs}
    for machine in machines.values():
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        parts.append(f"Machine: {machine['device']}, {machine['processes']} process(es); {versions}.")
    done = len(results.runs) + len(results.generators)
    parts.append(f"{done} of {done + len(results.left)} trainings are finished.")
    if results.left:
        parts.append(f"Next: {results.left[0]}; the same command goes on.")
    return "\n".join(parts)


def _rows(results: Results, arm: str, images: int) -> list[Row]:
    return sorted((row for row in results.runs if (row.arm, row.images) == (arm, images)), key=lambda row: row.seed)
