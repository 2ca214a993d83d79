"""The card of a generator that learned from a classifier alone."""

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCardData

from synthdata.formats import ClassifierSettings, DistilReport, DistilRun
from synthdata.publishing.model_card import shareable, write_card
from synthdata.publishing.rendering import render
from synthdata.run_files import read_run_file

MOST_CLASSES = 100
"""Rows of a card's table of classes; the rest is told in one."""


def write_distil_card(run: Path) -> None:
    """Write generator/README.md.

    Args:
        run: the directory of a finished run of ``recipes/distil.py``.

    Raises:
        MisuseError: the run is not finished, or its files are damaged.
        FailureError: the card cannot be written.
    """
    config = dict(read_run_file(run / "config.yaml", DistilRun))
    report = read_run_file(run / "report.json", DistilReport)
    folder = run / "generator"
    header = ModelCardData(
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        tags=["data-free", "knowledge-distillation", "synthetic"],
    )
    counts = list(report["class_counts"].items())
    shown, left_out = counts[:MOST_CLASSES], counts[MOST_CLASSES:]
    facts: dict[str, Any] = {
        "classifier": read_run_file(folder / "classifier" / "config.json", ClassifierSettings),
        "report": report,
        "examined": sum(count for _, count in counts),
        "counts": shown,
        "left_out": len(left_out),
        "left_out_images": sum(count for _, count in left_out),
        "yaml": yaml.safe_dump(shareable(config), sort_keys=False).strip(),
    }
    write_card(folder, render("data_free.md", header, **facts))
