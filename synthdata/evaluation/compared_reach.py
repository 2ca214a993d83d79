"""Label reach of the encoders of a comparison, by way of training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from synthdata.comparison import Summary
from synthdata.data import RealData
from synthdata.evaluation.held_out_reach import held_out_reach
from synthdata.models import Encoder

DRAWS = 5
"""Draws of images for each encoder; the same images for all."""


def compared_reach(
    encoders: Mapping[str, Sequence[Path]], data: RealData, device: torch.device, test: bool
) -> dict[str, Any]:
    """Label reach over the seeds of every way of training, from ten held-out images for each feature.

    Args:
        encoders: folders of the encoders by way of training, one for each seed.
        test: as for ``held_out_reach``.

    Returns:
        ``images``, ``held_out_images``, ``features``, and in ``ways`` the summaries over seeds of ``reach``,
        ``chance``, ``excess`` and ``rank``; or ``refused`` alone, the reason.
    """
    common: dict[str, int] = {}
    ways: dict[str, dict[str, Any]] = {}
    for way, folders in encoders.items():
        measured = [
            held_out_reach(Encoder.from_pretrained(folder).to(device), data, device, DRAWS, test=test)
            for folder in folders
        ]
        for each in measured:
            if each.refused is not None:
                return {"refused": each.refused}
        first = measured[0]
        common = {
            "images": first.draws[0].images,
            "held_out_images": first.held_out,
            "features": first.draws[0].features,
        }
        ways[way] = {
            figure: Summary.of([each.summary(figure).mean for each in measured]).as_json()
            for figure in ("reach", "chance", "excess", "rank")
        }
    return {**common, "ways": ways}
