"""A membership attack on each image for itself, by encoders that are trained with it and without it.

Population attacks overstate how well images are forgotten. U-LiRA (Hayes et al., "Inexact Unlearning Needs More Careful
Evaluations", SaTML 2025, arXiv 2403.01218) compares, for each image, models that had it and were made to forget it with
models that never had it; here by EncoderMI's score in the place of a classifier's confidence.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from synthdata.emission.run import load_part
from synthdata.rng import generator_at
from synthdata.takedown.before import Before, Divided, open_before
from synthdata.takedown.config import ForgettingConfig, TakedownRunConfig
from synthdata.takedown.membership import auc, view_similarity
from synthdata.takedown.takedown import take_down_rows
from synthdata.training import train_joint


def attack_by_shadows(
    before: Before, images: Divided, settings: ForgettingConfig, count: int, folder: Path, accelerator: Accelerator
) -> dict[str, Any]:
    """Train ``count`` shadows of a run on halves of its images, take the forgotten ones out of them, and attack both.

    Shadows that are in ``folder`` are kept.

    Args:
        settings: how the images are taken out, as of the audited run.
        count: an even number, at least 4.

    Returns:
        AUC with which images that a shadow was trained on are told from those it was not: ``before`` and ``after`` the
        takedown.
    """
    had = halves(len(images.forgotten), count, before.config.seed)
    scores: dict[str, list[Tensor]] = {"before": [], "after": []}
    for number in tqdm(range(count), desc="shadows", unit="shadow"):
        shadow, rows = _shadow(before, images, had[number], folder / f"shadow-{number}")
        run = TakedownRunConfig(**vars(shadow.config))
        run = replace(run, takedown=replace(settings, run=str(shadow.folder)), resume=True)
        run = replace(run, output_dir=str(folder / f"shadow-{number}-{settings.method}"))
        take_down_rows(run, shadow, rows, accelerator, deadline=math.inf)
        for name, place in (("before", shadow.folder), ("after", Path(run.output_dir))):
            encoder = load_part(place, "encoder").to(accelerator.device)
            views = before.config.views
            scores[name].append(view_similarity(encoder, images.forgotten, views, accelerator.device, seed="shadow"))
    return {name: per_example_auc(torch.stack(each), had) for name, each in scores.items()} | {"shadows": count}


def halves(images: int, count: int, seed: int) -> Tensor:
    """(count, images) bool: which shadow has which image; each image is in half of them."""
    order = torch.stack([torch.randperm(count, generator=generator_at(seed, "shadows", i)) for i in range(images)], 1)
    return order < count // 2


def per_example_auc(scores: Tensor, had: Tensor) -> float:
    """AUC of the likelihood ratio of each score (S, N) under the other shadows that had the image, and that had not.

    Both are normal, with a mean for each image and one variance for all, as few shadows give no variance of each.
    """
    ratios = torch.full_like(scores, float("nan"))
    for shadow in range(len(scores)):
        others = torch.arange(len(scores)) != shadow
        inside, outside = _means(scores[others], had[others]), _means(scores[others], ~had[others])
        spread = torch.where(had[others], scores[others] - inside, scores[others] - outside)
        variance = spread.square().nanmean().clamp_min(1e-12)
        ratios[shadow] = ((scores[shadow] - outside).square() - (scores[shadow] - inside).square()) / (2 * variance)
    return auc(ratios[had], ratios[~had])


def _means(scores: Tensor, taken: Tensor) -> Tensor:
    """(N,) means of the scores (S, N) that are taken."""
    return torch.where(taken, scores, float("nan")).nanmean(0)


def _shadow(before: Before, images: Divided, had: Tensor, folder: Path) -> tuple[Before, list[int]]:
    """A run on half of the images, and those of the forgotten ones that it had."""
    forgotten, retained = images.forgotten.candidates, images.retained.train.source_indices
    generator = generator_at(before.config.seed, "shadow", folder.name)
    half = retained[torch.randperm(len(retained), generator=generator)[: len(retained) // 2]]
    left_out = {*forgotten[~had].tolist(), *retained.tolist()} - set(half.tolist())
    exclude = sorted({*(before.config.data.exclude or []), *left_out})
    config = replace(before.config, data=replace(before.config.data, exclude=exclude))
    train_joint(replace(config, output_dir=str(folder), resume=True, page=False), deadline=math.inf)
    return open_before(folder), forgotten[had].tolist()
