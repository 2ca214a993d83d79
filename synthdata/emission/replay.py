"""Rows that stand in for the images a classifier learned from: its data-free generator's, with the labels it gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Features
from torch import Tensor

from synthdata.data import to_float, to_uint8
from synthdata.emission.compute import ModelThreads
from synthdata.emission.config import EmissionConfig
from synthdata.emission.encoding import parquet_features
from synthdata.emission.kinds import Kind, Row
from synthdata.emission.pipeline import batched
from synthdata.emission.plan import Shard
from synthdata.emission.run import load_part, model_identity, training_of
from synthdata.emission.scoring import forward_batch, rounded
from synthdata.emission.selection import MOST_CANDIDATES, blocks_of
from synthdata.errors import FailureError, MisuseError
from synthdata.formats import Report
from synthdata.models import DataFree
from synthdata.rng import generator_at, latents_at
from synthdata.run_files import read_run_file

_BINS = 40


@dataclass(frozen=True)
class ReplayRun:
    """What emission needs of a run of ``recipes/distil.py``.

    Attributes:
        generator: in evaluation mode, with its classifier.
        identity: JSON-ready: two runs that could give different rows have different ones.
        training: what the run's report tells of its training.
    """

    generator: DataFree
    identity: dict[str, Any]
    training: dict[str, Any]


def load_replay_run(folder: Path, device: torch.device) -> ReplayRun:
    """Open the run directory of a data-free generator; safetensors only.

    Raises:
        MisuseError: something is missing from it, or its generator is of another kind.
    """
    generator = load_part(folder, "generator")
    if not isinstance(generator, DataFree):
        raise MisuseError(
            f"{folder} has a generator of kind {generator.kind}, and --replay takes one that recipes/distil.py made: "
            "give --hard or --pairs, or another --run"
        )
    classifier = generator.classifier
    source = {"classes": classifier.classes, "image_size": generator.image_size, "channels": generator.channels}
    identity = {"generator": model_identity(folder / "generator", generator), "source": source}
    report = folder / "report.json"
    training = training_of(dict(read_run_file(report, Report))) if report.exists() else {}
    return ReplayRun(generator.to(device).eval(), identity, training)


class ReplayRows:
    """The ``RowMaker`` of replay rows."""

    def __init__(self, config: EmissionConfig, models: ModelThreads[ReplayRun]) -> None:
        self.config = config
        self.models = models
        self.identity = models.run.identity
        self.device = models.device.type

    def measure(self) -> dict[str, Any]:
        classes = len(self.models.run.generator.classifier.classes)
        edges = {
            "confidence": np.linspace(0, 1, _BINS + 1).round(3).tolist(),
            "label": [number - 0.5 for number in range(classes + 1)],
        }
        return {"training": self.models.run.training, "criteria": {"replay": {"edges": edges}}}

    def prepare(self) -> None:
        """Nothing is compared with real images: there are none."""

    def features(self, kind: Kind) -> Features:
        return parquet_features(kind)

    def make(self, kind: Kind, criteria: dict[str, Any], shards: Sequence[Shard]) -> Iterator[list[Row]]:
        def rows(run: ReplayRun, indices: range) -> list[Row]:
            return _rows(run, indices, self.config, self.models.device)

        return self.models.map(rows, blocks_of(shards))


def _rows(run: ReplayRun, indices: range, config: EmissionConfig, device: torch.device) -> list[Row]:
    """The rows of a block: each takes the first of its candidates that the classifier is sure enough of."""
    rows = [Row("replay", index) for index in indices]
    for candidate in range(MOST_CANDIDATES):
        pending = [row for row in rows if not row.images]
        seed = generator_at(config.seed, "candidate", "replay", candidate).initial_seed()
        for part in batched(pending, forward_batch(device)):
            latents = latents_at(seed, torch.tensor([row.index for row in part]), run.generator.latent_shape)
            _fill(part, *_answer(run, latents, device), config)
    if unsure := [row for row in rows if not row.images]:
        raise FailureError(
            f"{len(unsure)} row(s) of replay, the first is row {unsure[0].index}, found none among {MOST_CANDIDATES} "
            f"candidates that the classifier is sure enough of: lower --least_confidence {config.least_confidence}"
        )
    return rows


def _answer(run: ReplayRun, latents: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) uint8 of latents, and the classifier's probabilities (N, K), from a batch of fixed size."""
    count = len(latents)
    filled = torch.cat([latents, latents.new_zeros(forward_batch(device) - count, *latents.shape[1:])]).to(device)
    pixels = to_uint8(run.generator.sample(filled, averaged=True))
    probabilities = run.generator.classifier(to_float(pixels)).softmax(1)  # of what is written, rounding included
    return pixels[:count].cpu(), probabilities[:count].cpu()


def _fill(rows: Sequence[Row], pixels: Tensor, probabilities: Tensor, config: EmissionConfig) -> None:
    confidence, labels = probabilities.max(1)
    told = rounded(confidence)
    for row, image, label, sure in zip(rows, pixels, labels.tolist(), told.tolist(), strict=True):
        row.candidate_scores.append(sure)
        if not sure >= config.least_confidence:
            row.dropped["unsure"] += 1
            continue
        row.images = (image.permute(1, 2, 0).contiguous().numpy(),)
        row.metadata = {"index": row.index, "seed": config.seed, "label": label, "confidence": sure}
