"""What a candidate must meet to become a row, measured once on unselected samples and on the real images."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthdata.data import to_float
from synthdata.emission.anchors import Anchors, noise_levels
from synthdata.emission.compute import ModelThreads, real_batches
from synthdata.emission.config import EmissionConfig
from synthdata.emission.guard import RealNeighbours
from synthdata.emission.kinds import DECIMALS, KINDS, Kind
from synthdata.emission.run import Run
from synthdata.emission.scoring import BANK_SIZE, Candidates, Scorer, forward_batch, hardness_views, rounded
from synthdata.errors import MisuseError
from synthdata.rng import generator_at, latents_at

REFERENCE_ROWS = 512
"""Unselected samples that the bands are quantiles of."""

LARGEST_REALISM_LOSS = 0.25
"""The realism floor refuses at most this share of the unselected samples: a discriminator that has memorised its
training images would otherwise refuse all."""

_BINS = 40


@dataclass(frozen=True)
class Criteria:
    """The rules for rows of one kind; every process uses the same numbers.

    Attributes:
        kind: what the rows are.
        seed: of the dataset.
        oversample: candidates that a row is first chosen from.
        band: lowest and highest score (hardness in nats, or similarity) of a row.
        realism_floor: lowest realism of a row's image.
        copy_distance: pixel distance to a training image up to which an image is a near copy of it.
        edges: for each column, the edges of its histogram in the manifest.
        noise_levels: of pairs that grow from real images; none of other rows.
    """

    kind: Kind
    seed: int
    oversample: int
    band: tuple[float, float]
    realism_floor: float
    copy_distance: float
    edges: dict[str, list[float]]
    noise_levels: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """What the criteria are measured on.

    Attributes:
        kind: what the candidates are.
        candidates: unselected samples, ``REFERENCE_ROWS`` in all.
        real_realism: realism of the first training images.
        real: the training images that near copies are told by.
        noise_levels: as in ``Criteria``.
    """

    kind: Kind
    candidates: list[Candidates]
    real_realism: NDArray[np.float64]
    real: RealNeighbours
    noise_levels: list[float] = field(default_factory=list)


def draw_reference(kind: Kind, config: EmissionConfig, models: ModelThreads[Run], real: RealNeighbours) -> Reference:
    """Draw the reference for ``kind``: a function of the configuration's seed, the weights and the real images.

    Raises:
        MisuseError: pairs are wanted of a generator whose members make the same images.
    """
    latent_seed = generator_at(config.seed, "reference", kind).initial_seed()
    views = hardness_views(models.run.view, config.seed)
    levels = noise_levels(kind, config, models.run)

    def score(run: Run, rows: Tensor) -> Candidates:
        scorer = Scorer(run, real, views, models.device)
        if levels:
            return scorer.score_anchored(Anchors.draw(latent_seed, rows, run, levels))
        return scorer.score(kind, latents_at(latent_seed, rows, run.generator.latent_shape))

    drawn = list(models.map(score, torch.arange(REFERENCE_ROWS).split(forward_batch(models.device))))
    if (
        kind == "pairs"
        and not levels
        and all(np.array_equal(candidates.pixels[0], candidates.pixels[1]) for candidates in drawn)
    ):
        raise MisuseError(
            f"the two members of {config.run}'s generator make equal images, so there are no pairs: train with "
            "--arm pairs or --arm both, give --pair_source anchored to a diffusion model, or leave out --pairs"
        )
    return Reference(kind, drawn, _real_realism(models), real, levels)


def measure_criteria(reference: Reference, config: EmissionConfig) -> Criteria:
    """The criteria for rows of the reference's kind."""
    kind, real, of_real = reference.kind, reference.real, reference.real_realism
    score = np.concatenate([candidates.score for candidates in reference.candidates])
    realism = np.concatenate([candidates.realism for candidates in reference.candidates])
    similarity = np.concatenate([candidates.nearest_similarity for candidates in reference.candidates])
    floor = min(np.quantile(of_real, config.realism_quantile), np.quantile(realism, LARGEST_REALISM_LOSS))
    low, high = np.quantile(score, config.hardness_band if kind == "hard" else config.similarity_band)
    return Criteria(
        kind,
        config.seed,
        config.oversample if kind == "hard" else 1,
        band=(_round(low), _round(high)),
        realism_floor=_round(floor),
        copy_distance=_round(real.copy_distance(config.memorisation_quantile)),
        edges={
            KINDS[kind].score: _edges(score),
            "realism": _edges(np.concatenate([realism, of_real])),
            "nearest_similarity": _edges(similarity),
        },
        noise_levels=reference.noise_levels,
    )


def _real_realism(models: ModelThreads[Run]) -> NDArray[np.float64]:
    def judge(run: Run, batch: Tensor) -> NDArray[np.float64]:
        return rounded(run.generator.realism(to_float(batch)))

    return np.concatenate(list(models.map(judge, real_batches(models, BANK_SIZE))))


def _edges(values: NDArray[np.float64]) -> list[float]:
    """Edges of equal bins over what ``values`` span; what lies outside is counted in the outermost bins."""
    low, high = values.min(), values.max()
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [_round(edge) for edge in np.linspace(low, high, _BINS + 1)]


def _round(value: float) -> float:
    return round(float(value), DECIMALS)
