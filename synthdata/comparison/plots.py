"""The plots of a comparison. Apart from its numbers: whoever needs those alone does not load matplotlib."""

import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synthdata.comparison.efficiency import Curve
from synthdata.comparison.summary import Summary
from synthdata.comparison.ways import BASELINE, Comparison


def save_plots(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw comparison.png, and efficiency-MEASURE.png where there are several numbers of images; returns the paths."""
    paths = [folder / "comparison.png"]
    plot_scores(comparison, paths[0])
    for measure in comparison.measures:
        if curves := comparison.curves(measure):
            paths.append(folder / f"efficiency-{re.sub('_top1$', '', measure)}.png")
            plot_curves(curves, paths[-1])
    return paths


def plot_scores(comparison: Comparison, path: Path) -> None:
    """Draw mean, standard deviation and every seed of every way, on most real images, one panel for each measure."""
    ways, measures = comparison.ways, comparison.measures
    figure = Figure(figsize=(2 + 2.2 * len(measures), 1.3 + 0.4 * len(ways)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    for panel, (measure, title) in zip(panels, measures.items(), strict=True):
        for row, way in enumerate(ways):
            values = list(comparison.scores(way, max(comparison.images(way)), measure).values())
            summary = Summary.of(values)
            color = "0.4" if way == BASELINE else f"C{row % 10}"
            panel.errorbar(summary.mean, row, xerr=summary.std, marker="o", capsize=3, color=color)
            panel.plot(values, [row + 0.2] * len(values), "|", color=color, alpha=0.6)
        panel.set(title=title, xlabel="top-1 accuracy, %", yticks=range(len(ways)), yticklabels=ways)
        panel.grid(axis="x", alpha=0.3)
    panels[0].invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def plot_curves(curves: Sequence[Curve], path: Path) -> None:
    """Draw accuracy against real images, logarithmic, with error bars of one standard deviation, into a PNG file."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    for curve in curves:
        axis.errorbar(*curve.rising(), marker="o", markersize=4, capsize=3, label=curve.name)
    ticks = sorted({count for curve in curves for count in curve.images})
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axis.minorticks_off()
    axis.set(xlabel="real images", ylabel="top-1 accuracy, %")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
