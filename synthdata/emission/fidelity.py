"""How close the chosen images come to the real ones, measured before the first row is made."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthdata.data import to_float
from synthdata.emission.compute import ModelThreads, real_batches
from synthdata.emission.criteria import Criteria, Reference
from synthdata.emission.run import Run
from synthdata.emission.scoring import BANK_SIZE, forward_batch
from synthdata.emission.selection import first_failures
from synthdata.evaluation import frechet_distance, precision_recall

_NEIGHBOURS = 3
_LEAST_IMAGES = 32
"""Nothing is said of fewer images."""


def measure_fidelity(reference: Reference, criteria: Criteria, models: ModelThreads[Run]) -> dict[str, Any] | None:
    """Fréchet distance, precision and recall of reference samples that meet ``criteria``, in the encoder's features.

    They are compared with training images; so are as many other training images, which tells what a perfect generator
    would get.

    Returns:
        JSON-ready: ``images`` compared, ``frechet_distance``, ``precision``, ``recall``, and ``real``, the same three
        of training images. None if there are fewer than ``_LEAST_IMAGES``.
    """
    accepted = _accepted_images(reference, criteria)
    real = torch.cat(list(models.map(_features_of, real_batches(models, BANK_SIZE)))).cpu()
    count = min(len(accepted), len(real) // 2)
    if count < _LEAST_IMAGES:
        return None
    batches = accepted[:count].split(forward_batch(models.device))
    synthetic = torch.cat(list(models.map(_features_of, (batch.to(models.device) for batch in batches)))).cpu()
    held, others = real[:count], real[count:]
    return {"images": count, **_compare(synthetic, others, count), "real": _compare(held, others, count)}


def _accepted_images(reference: Reference, criteria: Criteria) -> Tensor:
    """(N, C, H, W) uint8; the two images of a pair follow each other."""
    chosen = []
    for candidates in reference.candidates:
        accepted = first_failures(candidates, criteria) == ""
        pixels = np.stack([member[accepted] for member in candidates.pixels], axis=1)
        chosen.append(torch.from_numpy(pixels).flatten(0, 1))
    return torch.cat(chosen).permute(0, 3, 1, 2).contiguous()


def _features_of(run: Run, images: Tensor) -> Tensor:
    return run.encoder.features(to_float(images))


def _compare(features: Tensor, real: Tensor, count: int) -> dict[str, float]:
    precision, recall = precision_recall(real[:count], features, _NEIGHBOURS)
    return {
        "frechet_distance": round(frechet_distance(features, real), 4),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
    }
