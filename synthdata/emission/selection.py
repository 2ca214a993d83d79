"""Choosing rows among candidates: each row has its own, and takes the best of those that meet the criteria."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthdata.emission.anchors import Anchors
from synthdata.emission.compute import ModelThreads
from synthdata.emission.criteria import Criteria
from synthdata.emission.guard import RealNeighbours
from synthdata.emission.kinds import DECIMALS, KINDS, SURPLUS, Row
from synthdata.emission.pipeline import batched
from synthdata.emission.plan import Shard
from synthdata.emission.run import Run
from synthdata.emission.scoring import Candidates, Scorer, forward_batch, hardness_views
from synthdata.errors import FailureError
from synthdata.rng import generator_at, latents_at

BLOCK_ROWS = 128
"""Rows are made in blocks that start at multiples of this, so that a row's place in a forward batch, on which the last
bits of its image may depend, is a function of its index."""

LARGEST_ROUND = 64
MOST_CANDIDATES = 128
"""Rows without an acceptable candidate get twice as many in the next round, up to ``LARGEST_ROUND`` at a time, and none
after about ``MOST_CANDIDATES``."""

_LOOSEN = {
    "memorised": "lower --memorisation_quantile, or train on more images",
    "unrealistic": "lower --realism_quantile, or train the generator longer",
    "too_easy": "lower the first number of --hardness_band",
    "too_hard": "raise the second number of --hardness_band",
    "too_different": "lower the first number of --similarity_band",
    "too_alike": "raise the second number of --similarity_band",
}


def blocks_of(shards: Sequence[Shard]) -> list[range]:
    """The blocks, or beginnings of blocks, that hold the rows of ``shards`` (of one kind, in order), each once."""
    ends: dict[int, int] = {}
    for shard in shards:
        for start in range(shard.first_row // BLOCK_ROWS * BLOCK_ROWS, shard.end, BLOCK_ROWS):
            ends[start] = min(start + BLOCK_ROWS, shard.end)
    return [range(start, end) for start, end in ends.items()]


def selected_rows(
    models: ModelThreads[Run], real: RealNeighbours, criteria: Criteria, shards: Sequence[Shard]
) -> Iterator[list[Row]]:
    """The rows of ``shards``, block by block, and those before them in their block."""
    return selected_blocks(models, real, criteria, blocks_of(shards))


def selected_blocks(
    models: ModelThreads[Run], real: RealNeighbours, criteria: Criteria, blocks: Iterable[range]
) -> Iterator[list[Row]]:
    """The rows of ``blocks``, which are as ``blocks_of`` gives them."""
    views = hardness_views(models.run.view, criteria.seed)

    def select(run: Run, indices: range) -> list[Row]:
        return select_rows(Scorer(run, real, views, models.device), criteria, indices)

    return models.map(select, blocks)


def select_rows(scorer: Scorer, criteria: Criteria, indices: range) -> list[Row]:
    """Make the rows ``indices``, which start at a multiple of ``BLOCK_ROWS`` and end before the next.

    A row is a function of the seed, its index and the weights: where the block ends does not change the rows before.

    Raises:
        FailureError: some row finds no acceptable candidate.
    """
    rows = [Row(criteria.kind, index) for index in indices]
    for candidates in _rounds(criteria.oversample):
        pending = [row for row in rows if not row.images]
        for part in batched(pending, forward_batch(scorer.device) // len(candidates)):
            numbers = torch.tensor([row.index for row in part])
            _fill(part, _scored(scorer, criteria, numbers, candidates), criteria)
    if unfilled := [row for row in rows if not row.images]:
        raise FailureError(_explain(unfilled, criteria))
    return rows


def _rounds(oversample: int) -> Iterator[range]:
    """The numbers of each round's candidates."""
    first, count = 0, oversample
    while first < MOST_CANDIDATES:
        yield range(first, first + count)
        first, count = first + count, min(2 * count, LARGEST_ROUND)


def _scored(scorer: Scorer, criteria: Criteria, numbers: Tensor, candidates: range) -> Candidates:
    """Every row's candidates, row by row; each is a function of the seed, the row and the candidate."""
    run = scorer.run
    seeds = [
        generator_at(criteria.seed, "candidate", criteria.kind, candidate).initial_seed() for candidate in candidates
    ]
    if criteria.noise_levels:
        anchors = [Anchors.draw(seed, numbers, run, criteria.noise_levels) for seed in seeds]
        return scorer.score_anchored(Anchors.interleaved(anchors))
    latents = [latents_at(seed, numbers, run.generator.latent_shape) for seed in seeds]
    return scorer.score(criteria.kind, torch.stack(latents, dim=1).flatten(0, 1))


def _fill(rows: list[Row], scored: Candidates, criteria: Criteria) -> None:
    """Give each of ``rows`` its best acceptable candidate, if it has one, and count the others."""
    failed = first_failures(scored, criteria).reshape(len(rows), -1)
    scores = scored.score.reshape(len(rows), -1)
    for number, row in enumerate(rows):
        row.candidate_scores += scores[number].tolist()
        row.dropped.update(reason for reason in failed[number].tolist() if reason)
        accepted = np.flatnonzero(failed[number] == "")
        if len(accepted) == 0:
            continue
        row.dropped[SURPLUS] += len(accepted) - 1
        # the hardest of the hard samples, the first of the pairs, so that those keep their spread of similarities
        best = accepted[scores[number, accepted].argmax()] if criteria.kind == "hard" else accepted[0]
        _take(row, scored, number * scores.shape[1] + int(best), criteria.seed)


def first_failures(scored: Candidates, criteria: Criteria) -> NDArray[np.str_]:
    """(N,) the first criterion that each candidate fails, empty if it meets all."""
    low, high = criteria.band
    memorised, unrealistic, below, above, _ = KINDS[criteria.kind].reasons
    failures = [
        (scored.pixel_distance <= criteria.copy_distance) | scored.taken_down,
        # a score that is not a number is not acceptable either
        ~(scored.realism >= criteria.realism_floor),
        ~(scored.score >= low),
        scored.score > high,
    ]
    return np.select(failures, [memorised, unrealistic, below, above], default="")


def _take(row: Row, scored: Candidates, candidate: int, seed: int) -> None:
    row.images = tuple(member[candidate] for member in scored.pixels)
    row.metadata = {
        "index": row.index,
        "seed": seed,
        KINDS[row.kind].score: float(scored.score[candidate]),
        "realism": float(scored.realism[candidate]),
        "nearest_real": int(scored.nearest_real[candidate]),
        "nearest_similarity": float(scored.nearest_similarity[candidate]),
    }
    if scored.anchors is not None:
        level = round(float(scored.anchors.levels[candidate]), DECIMALS)
        row.metadata |= {"noise_level": level, "anchor": int(scored.anchors.rows[candidate])}


def _explain(unfilled: list[Row], criteria: Criteria) -> str:
    refused: Counter[str] = Counter()
    for row in unfilled:
        refused.update(row.dropped)
    tried = len(unfilled[0].candidate_scores)
    shares = ", ".join(f"{count / refused.total():.0%} {reason}" for reason, count in refused.most_common())
    kind, first, reason = unfilled[0].kind, unfilled[0].index, refused.most_common(1)[0][0]
    mend = _LOOSEN[reason]
    if criteria.noise_levels and reason == "memorised":
        mend = "give higher --noise_levels, at which less is left of the real image"
    return (
        f"{len(unfilled)} row(s) of {kind}, the first is row {first}, found no acceptable sample among {tried} "
        f"candidates each ({shares}): {mend}"
    )
