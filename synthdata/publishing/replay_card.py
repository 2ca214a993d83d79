"""What the card of a classifier's replay tells, and its pictures."""

from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData

from synthdata.publishing.rendering import render

MOST_CLASSES = 100
"""Rows of the table of classes; the rest is told in one."""


def render_replay_card(manifest: dict[str, Any], header: DatasetCardData, name: str, files: dict[str, str]) -> str:
    """The card of a dataset whose rows are of the kind "replay".

    Args:
        name: the dataset's.
        files: the card's names of the shards' ``suffix`` and of the ``image_column``.
    """
    summary, source = manifest["kinds"]["replay"], manifest["run"]["source"]
    counts = list(zip(source["classes"], summary["columns"]["label"]["histogram"], strict=True))
    shown, left_out = counts[:MOST_CLASSES], counts[MOST_CLASSES:]
    return render(
        "replay.md",
        header,
        name=name,
        settings=manifest["settings"],
        made_with=manifest["made_with"],
        run=manifest["run"],
        training=manifest.get("training", {}),
        rows=summary["rows"],
        bytes=summary["bytes"],
        candidates=summary["candidates"],
        unsure=summary["dropped"]["unsure"],
        confidence=summary["columns"]["confidence"],
        shards=len(manifest["shards"]),
        classes=source["classes"],
        image_size=source["image_size"],
        colour="greyscale" if source["channels"] == 1 else "RGB",
        counts=[(label, class_name, count) for label, (class_name, count) in enumerate(shown)],
        left_out=len(left_out),
        left_out_rows=sum(count for _, count in left_out),
        **files,
    )


def save_replay_figures(folder: Path, manifest: dict[str, Any]) -> None:
    """Draw ``folder``/confidence.png and ``folder``/labels.png."""
    # Slow to import, and whoever only verifies a dataset comes by here as well.
    from synthdata.publishing.figures import save_bars, save_histogram

    columns, classes = manifest["kinds"]["replay"]["columns"], manifest["run"]["source"]["classes"]
    band = (manifest["settings"]["least_confidence"], 1.0)
    save_histogram(folder / "confidence.png", "confidence", columns["confidence"], columns["candidates"], band)
    save_bars(folder / "labels.png", "class", classes, columns["label"]["histogram"])
