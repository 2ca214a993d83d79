"""The table of the arms, as text and JSON, with its plots."""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from synthdata.comparison import Comparison, Trained, as_markdown
from synthdata.comparison.plots import save_plots
from synthdata.evaluation.score import score_name, score_titles
from synthdata.formats import FinishedReport
from synthdata.run_files import read_run_file
from synthdata.training.run_directory import write_aside, writing


@dataclass(frozen=True)
class Row:
    """One finished training.

    Attributes:
        arm: its arm.
        seed: its seed.
        images: real images that it was trained on.
        steps: encoder steps.
        scores: top-1 accuracies in percent, by their names on the test split.
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
    def of(cls, arm: str, seed: int, images: int, report: Path, split: str, budgets: Sequence[int]) -> Self:
        """The training that left ``report``, with its scores on ``split``, those with ``budgets`` labels among them."""
        content: dict[str, Any] = dict(read_run_file(report, FinishedReport))
        named = {name: content.get(score_name(split, name)) for name in score_titles(budgets)}
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
        budgets: numbers of labels of the low-label probes.
        controls: arms that the others are compared with, besides ``real``.
        runs: the finished trainings.
        generators: the finished pre-trainings.
        left: names of the trainings that are not finished, in their order.
    """

    source: str
    split: str
    images: int
    steps: int
    batch_size: int
    budgets: list[int]
    controls: list[str]
    runs: list[Row]
    generators: list[Row]
    left: list[str]


def write_results(results: Results, folder: Path) -> str:
    """Write table.md, table.json and, once there is something to compare, the plots; returns the text of table.md."""
    parts = [_heading(results)]
    if results.runs:
        runs = [Trained(row.arm, row.images, row.seed, row.scores) for row in results.runs]
        comparison = Comparison(runs, score_titles(results.budgets), results.controls)
        parts.append(as_markdown(comparison).rstrip())
        with writing(folder):
            save_plots(comparison, folder)
    text = "\n\n".join([*parts, _rest(results)])
    write_aside(folder / "table.md", text + "\n")
    write_aside(folder / "table.json", json.dumps(dataclasses.asdict(results), indent=2) + "\n")
    return text


def _heading(results: Results) -> str:
    return (
        f"{results.source}, {results.images:,} real images; {results.steps:,} encoder steps of {results.batch_size:,}"
        f" anchors in every arm. Top-1 accuracy on the {results.split} split in percent, mean ± sample standard"
        " deviation over the seeds."
    )


def _rest(results: Results) -> str:
    parts = []
    minutes: dict[str, list[float]] = {}
    for row in (*results.generators, *results.runs):
        if row.images == results.images:
            minutes.setdefault(row.arm, []).append(row.minutes)
    if minutes:
        told = ", ".join(f"{arm} {statistics.mean(each):.1f}" for arm, each in minutes.items())
        parts.append(f"Minutes of a training: {told}.")
    machines = {json.dumps(row.machine, sort_keys=True): row.machine for row in results.runs}
    for machine in machines.values():
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        parts.append(f"Machine: {machine['device']}, {machine['processes']} process(es); {versions}.")
    done = len(results.runs) + len(results.generators)
    parts.append(f"{done} of {done + len(results.left)} trainings are finished.")
    if results.left:
        parts.append(f"Next: {results.left[0]}; the same command goes on.")
    return "\n".join(parts)
