"""The table and the plot of small encoders, from what their trainings measured."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synthdata.comparison import GAINS, Summary, markdown_table

Result = dict[str, Any]


class MeasuredEncoder(TypedDict):
    parameters: int
    operations: int
    linear: float
    knn: float
    effective_rank: float


class SlimmingResult(TypedDict):
    """The file of one training."""

    arm: str
    seed: int
    steps: int
    training_operations: int
    encoder: MeasuredEncoder
    host: NotRequired[MeasuredEncoder]
    correlation: NotRequired[float]
    correlation_between: NotRequired[float]


COMPARED = (
    ("sacl_xd", "target"),
    ("sacl_xd", "target_equal_operations"),
    ("sacl_xd", "sacl"),
    ("sacl_xd", "cut"),
    ("sacl", "cut"),
    ("sacl_xd_log", "sacl_xd"),
    ("sacl_xd_random", "sacl_xd"),
    ("target", "cut"),
)
"""Arms whose differences answer something; both of one seed have the same first weights, where they have one width."""

_HEADER = (
    "arm", "seeds", "steps", "training operations", "parameters", "operations of an image", "linear", "k-NN",
    "effective rank", "host, linear", "host, k-NN", "correlation with host", "between dimensions",
)  # fmt: skip


def as_markdown(results: Sequence[Result]) -> str:
    """The arms, and differences between them over the seeds that both have."""
    arms = list(dict.fromkeys(result["arm"] for result in results))
    rows = [_row([result for result in results if result["arm"] == arm]) for arm in arms]
    differences = [
        [f"{first} − {second}", *cells]
        for first, second in COMPARED
        if (cells := _differences(results, first, second)) is not None
    ]
    parts = [markdown_table(_HEADER, rows)]
    if differences:
        parts.append(f"Differences, {GAINS}:\n\n{markdown_table(['', 'linear', 'k-NN'], differences)}")
    return "\n".join(parts)


def save_plot(panels: Sequence[tuple[str, Sequence[Result]]], path: Path) -> None:
    """Draw linear accuracy against parameters, operations of an image, and operations of the training, into a PNG file.

    Args:
        panels: for each row of the plot, what its images are and the results on them.
    """
    axes: list[tuple[str, Callable[[Result, Result], float]]] = [
        ("parameters", lambda result, encoder: encoder["parameters"]),
        ("operations of an image", lambda result, encoder: encoder["operations"]),
        ("operations of the training", lambda result, encoder: result["training_operations"]),
    ]
    figure = Figure(figsize=(10, 3.4 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), len(axes), squeeze=False, sharey="row")
    for row, (title, results) in zip(grid, panels, strict=True):
        arms = list(dict.fromkeys(result["arm"] for result in results))
        for axis, (label, cost) in zip(row, axes, strict=True):
            for number, arm in enumerate(arms):
                points = [result for result in results if result["arm"] == arm]
                summary = Summary.of([point["encoder"]["linear"] for point in points])
                # arms of one cost stand side by side, or they would hide each other
                place = cost(points[0], points[0]["encoder"]) * math.exp(0.025 * (number - len(arms) / 2))
                axis.errorbar(
                    place, summary.mean, yerr=summary.std, marker="o", capsize=3, label=arm, color=f"C{number}"
                )
            axis.set(xlabel=label, xscale="log")
            axis.grid(alpha=0.3)
        row[0].set(ylabel=f"{title}: linear top-1, %")
    grid[0][-1].legend(frameon=False, fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _row(results: Sequence[Result]) -> list[str]:
    first = results[0]
    seeds = ", ".join(str(result["seed"]) for result in results)
    encoder = first["encoder"]
    return [
        first["arm"],
        seeds,
        f"{first['steps']:,}",
        f"{first['training_operations']:.2e}",
        f"{encoder['parameters']:,}",
        f"{encoder['operations'] / 1e6:.1f} M",
        *(str(Summary.of([result["encoder"][name] for result in results])) for name in ("linear", "knn")),
        str(Summary.of([result["encoder"]["effective_rank"] for result in results])),
        *(_of_host(results, name) for name in ("linear", "knn")),
        *(_shown(results, name) for name in ("correlation", "correlation_between")),
    ]


def _of_host(results: Sequence[Result], name: str) -> str:
    return str(Summary.of([result["host"][name] for result in results])) if "host" in results[0] else ""


def _shown(results: Sequence[Result], name: str) -> str:
    return str(Summary.of([result[name] for result in results])) if name in results[0] else ""


def _differences(results: Sequence[Result], first: str, second: str) -> list[str] | None:
    by_arm = {arm: {r["seed"]: r["encoder"] for r in results if r["arm"] == arm} for arm in (first, second)}
    seeds = by_arm[first].keys() & by_arm[second].keys()
    if not seeds:
        return None
    cells = []
    for name in ("linear", "knn"):
        values = [by_arm[first][seed][name] - by_arm[second][seed][name] for seed in sorted(seeds)]
        cells.append(Summary.of(values).as_gain)
    return cells
