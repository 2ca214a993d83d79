"""Pictures of a run: image grids over time and curves of the metrics."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor

from synthdata.data import to_uint8
from synthdata.formats import MetricsLine
from synthdata.reading import UnsoundError, checked, parse_json

Panel = tuple[str, Tensor, list[str] | None]
"""A title, (N, C, H, W) images in [−1, 1], and a caption for each image."""

COLUMNS = 4


def save_grid(path: Path, panels: list[Panel]) -> None:
    """Draw panels of images side by side, each ``COLUMNS`` images wide, into a PNG file."""
    rows = -(-max(len(images) for _, images, _ in panels) // COLUMNS)
    size = (0.55 * COLUMNS * len(panels), 0.62 * rows + 0.4)
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    for axis, (title, images, captions) in zip(axes.flat, panels, strict=True):
        axis.axis("off")
        axis.set_title(title, fontsize=10)
        height, width = images.shape[-2:]
        tiles, down, across = _tile(images, rows)
        axis.imshow(tiles.numpy(), cmap="gray", vmin=0, vmax=255)
        for i, caption in enumerate(captions or []):
            x, y = i % COLUMNS * across + width / 2, i // COLUMNS * down + height
            axis.text(x, y, caption, fontsize=7, ha="center", va="top")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _tile(images: Tensor, rows: int) -> tuple[Tensor, int, int]:
    """One (H, W) or (H, W, 3) uint8 picture of all images, and the pixels from one to the next, down and across.

    A picture of many images is drawn many times faster than many pictures. Images have room for a caption below them.
    """
    _, channels, height, width = images.shape
    down, across = height + -(-height // 4), width + -(-width // 16)
    picture = torch.full((rows * down, COLUMNS * across, channels), 255, dtype=torch.uint8)
    for i, image in enumerate(to_uint8(images).cpu()):
        top, left = i // COLUMNS * down, i % COLUMNS * across
        picture[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return picture.squeeze(2) if channels == 1 else picture, down, across


CURVES = {
    "loss.png": ("nats", ("contrastive", "realism_a", "realism_b", "critic_adversarial")),
    "hardness.png": ("nats", ("hardness", "real_hardness")),
    "data_free.png": ("weighted loss", ("confidence", "diversity", "statistics", "smoothness")),
    "similarity.png": ("cosine similarity", ("similarity", "similarity_target")),
    "noise_level.png": ("share of the noise process", ("noise_level",)),
}


def save_curves(metrics: Path, folder: Path) -> None:
    """Draw the terms of ``metrics.jsonl`` against the iteration, one PNG file for each group that has any."""
    lines = [_read(line) for line in metrics.read_text(errors="replace").splitlines()]
    folder.mkdir(parents=True, exist_ok=True)
    for name, (unit, terms) in CURVES.items():
        present = [term for term in terms if any(isinstance(line.get(term), int | float) for line in lines)]
        if not present:
            continue
        figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
        for term in present:
            points = [(line["iteration"], line[term]) for line in lines if isinstance(line.get(term), int | float)]
            axis.plot(*zip(*points, strict=True), label=term.replace("_", " "))
        axis.set(xlabel="iteration", ylabel=unit)
        axis.legend(frameon=False)
        figure.savefig(folder / name, dpi=120)
        plt.close(figure)


def _read(line: str) -> dict[str, Any]:
    """A line of metrics; empty for one that is damaged."""
    try:
        return dict(checked(parse_json(line), MetricsLine))
    except UnsoundError:
        return {}
