"""Pictures of a run: image grids over time and curves of the metrics."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from torch import Tensor

from synthdata.data import to_uint8

Panel = tuple[str, Tensor, list[str] | None]
"""A title, (N, C, H, W) images in [−1, 1], and a caption for each image."""

COLUMNS = 4


def save_grid(path: Path, panels: list[Panel]) -> None:
    """Draw panels of images side by side, each ``COLUMNS`` images wide, into a PNG file."""
    rows = -(-max(len(images) for _, images, _ in panels) // COLUMNS)
    figure = plt.figure(figsize=(0.9 * COLUMNS * len(panels), 1.0 * rows + 0.4), layout="constrained")
    for part, (title, images, captions) in zip(np.atleast_1d(figure.subfigures(1, len(panels))), panels, strict=True):
        part.suptitle(title, fontsize=10)
        axes = part.subplots(rows, COLUMNS, squeeze=False).flat
        for axis in axes:
            axis.axis("off")
        for i, (axis, image) in enumerate(zip(axes, to_uint8(images).cpu(), strict=False)):
            axis.imshow(image.permute(1, 2, 0).squeeze(2) if len(image) == 1 else image.permute(1, 2, 0), cmap="gray", vmin=0, vmax=255)
            if captions:
                axis.set_title(captions[i], fontsize=7, pad=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


CURVES = {
    "loss.png": ("nats", ("contrastive", "realism_a", "realism_b", "critic_adversarial")),
    "hardness.png": ("nats", ("hardness", "real_hardness")),
    "similarity.png": ("cosine similarity", ("similarity", "similarity_target")),
}


def save_curves(metrics: Path, folder: Path) -> None:
    """Draw the terms of ``metrics.jsonl`` against the iteration, one PNG file for each group that has any."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    folder.mkdir(parents=True, exist_ok=True)
    for name, (unit, terms) in CURVES.items():
        present = [term for term in terms if any(term in line for line in lines)]
        if not present:
            continue
        figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
        for term in present:
            points = [(line["iteration"], line[term]) for line in lines if term in line]
            axis.plot(*zip(*points, strict=True), label=term.replace("_", " "))
        axis.set(xlabel="iteration", ylabel=unit)
        axis.legend(frameon=False)
        figure.savefig(folder / name, dpi=120)
        plt.close(figure)
