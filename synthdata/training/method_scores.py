"""What a method leaves in its run's directory, and what that is worth."""

from typing import Any

import torch

from synthdata.data import RealData
from synthdata.evaluation import scores_and_draws
from synthdata.training.config import EvaluationConfig
from synthdata.training.methods import ContrastiveMethod
from synthdata.training.run_directory import RunDirectory


def save_and_score(
    method: ContrastiveMethod,
    run: RunDirectory,
    data: RealData | None,
    settings: EvaluationConfig,
    device: torch.device,
) -> dict[str, Any]:
    """Save every encoder of ``method`` in its folder, and score it where there are real images.

    Returns:
        Scores of run/encoder by name, and, with the prefix ``host_``, those of run/host.
    """
    scores: dict[str, Any] = {}
    for folder, encoder in method.encoders().items():
        run.replace_folder(run.path / folder, encoder.save_pretrained)
        if data is not None:
            prefix = "" if folder == "encoder" else f"{folder}_"
            scored = scores_and_draws(encoder, data, device, settings.limit, settings.labels, settings.test)
            scores |= {f"{prefix}{name}": value for name, value in scored.items()}
    return scores
