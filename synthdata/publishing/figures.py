"""Histograms for the card of a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_MOST_NAMES = 20


def save_histogram(
    path: Path, label: str, rows: dict[str, Any], candidates: dict[str, Any], band: tuple[float, float]
) -> None:
    """Draw how a score is distributed over rows and over all candidates into a PNG file.

    Args:
        label: of the horizontal axis.
        rows: ``histogram``, counts, between ``edges``, as a manifest's columns have them.
        candidates: likewise.
        band: lowest and highest score of a row.
    """
    figure = Figure(figsize=(6, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.axvspan(*band, color="tab:green", alpha=0.1, linewidth=0, label="band that rows are kept in")
    curves: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("all candidates", candidates, {"color": "0.5", "fill": False}),
        ("rows", rows, {"color": "tab:blue", "fill": True, "alpha": 0.6}),
    ]
    for name, column, style in curves:
        total = sum(column["histogram"])
        shares = [100 * count / total for count in column["histogram"]]
        axis.stairs(shares, column["edges"], label=f"{name} ({total:,})", **style)
    axis.set(xlabel=label, ylabel="share per bin, %", ylim=(0, None))
    axis.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def save_bars(path: Path, label: str, names: Sequence[str], counts: Sequence[int]) -> None:
    """Draw the number of rows of each of ``names`` into a PNG file.

    Args:
        label: of the horizontal axis.
    """
    figure = Figure(figsize=(6, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.bar(range(len(counts)), counts, color="tab:blue", alpha=0.6)
    if len(names) <= _MOST_NAMES:
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axis.set(xlabel=label, ylabel="rows", ylim=(0, None))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
