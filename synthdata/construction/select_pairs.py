"""Which of several candidates for a prompt make the pair that a person, or a model, is asked to judge."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.cluster import KMeans

from synthdata.construction.embedding import unit
from synthdata.construction.relation import Relation, rounded
from synthdata.construction.table import Table
from synthdata.emission.kinds import DECIMALS
from synthdata.errors import MisuseError
from synthdata.ranges import UnitInterval
from synthdata.rng import stream_at

Pair = tuple[int, int]

_MOST_ENUMERATED = 10
"""Up to so many candidates, all ways to divide them in two are tried; k-means divides more."""


@dataclass
class SelectPairs:
    """Pairs of responses to the same prompt, chosen by how alike their embeddings are, after REAL (arXiv 2409.17169).

    Attributes:
        rule: of all pairs of a prompt, easy takes the least similar, hard the most similar, random any; centroid
            divides the candidates in two, and takes the nearest to each centre.
        share: of the prompts, those whose pair the rule likes most; with easy, the least similar pairs of all.
        center: subtract the mean of all embeddings first: those of language models share a direction.
        control_length: choose by similarity less what the length of the shorter response predicts of it.
        singles: refuse a prompt with a single candidate, or skip it.
        prompt: column of prompts, texts or whole numbers; rows with the same one are its candidates.
        response: column of texts, whose length is told; images need none.
        embedding: column of the responses' vectors.
        reward: column of numbers, higher for better; with it the better of a pair becomes its anchor. Without it, the
            pair is yet to be judged: its weight is 0.
    """

    name: ClassVar[str] = "select_pairs"

    rule: Literal["easy", "hard", "centroid", "random"] = "easy"
    share: UnitInterval = 1.0
    center: bool = False
    control_length: bool = False
    singles: Literal["refuse", "skip"] = "refuse"
    prompt: str = "prompt"
    response: str = "response"
    embedding: str = "embedding"
    reward: str = "reward"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.prompt, self.embedding)

    def units(self, rows: Table) -> int:
        return len(self._prompts(rows))

    def propose(self, rows: Table, seed: int, start: int = 0) -> Iterator[list[Relation]]:
        rewards = rows.numbers(self.reward) if self.reward in rows or self.reward != "reward" else None
        chosen = self._chosen(rows, seed)
        order = self._best_first(np.array([adjusted for *_, adjusted in chosen]), seed)
        kept = set(order[: max(1, round(self.share * len(chosen)))].tolist())
        for number in range(start, len(chosen)):
            (first, second), score, _ = chosen[number]
            if number not in kept:
                yield []
            elif rewards is None:
                yield [Relation(first, "preferred", (second,), 0.0, score, why=f"{self.rule}, yet to be judged")]
            else:
                better, worse = (first, second) if rewards[first] >= rewards[second] else (second, first)
                gap = float(rewards[better] - rewards[worse])
                why = f"{self.rule}, better by {gap:.6g}"
                yield [Relation(better, "preferred", (worse,), float(gap > 0), score, why=why)]

    def audit(self, rows: Table, relations: Iterator[Relation], truth: Table | None = None) -> dict[str, float]:
        """Similarity and length of the chosen pairs beside all pairs; with rewards, how often judges would err.

        ``error`` is the mean of 1 / (1 + exp(gap)), the chance that a judge who follows Bradley and Terry (1952)
        prefers the worse of the two.
        """
        chosen = np.array([(r.anchor, r.other[0]) for r in relations], np.int64).reshape(-1, 2)
        every = np.array([pair for prompt in self._prompts(rows) for pair in combinations(prompt.tolist(), 2)])
        vectors, lengths = self._vectors(rows), self._lengths(rows)
        told: dict[str, float] = {"pairs": len(chosen), "pairs_to_choose_from": len(every)}
        alike = {name: (vectors[p[:, 0]] * vectors[p[:, 1]]).sum(1) for name, p in (("chosen", chosen), ("all", every))}
        told |= {f"similarity_{name}": float(values.mean()) for name, values in alike.items()}
        if self.response in rows:
            shorter = lengths[every].min(1)
            told["length_chosen"], told["length_all"] = float(lengths[chosen].mean()), float(lengths[every].mean())
            if len(set(shorter)) > 1 and len(set(alike["all"])) > 1:
                told["similarity_follows_length"] = float(spearmanr(alike["all"], shorter).statistic)
        graded = truth if truth is not None else rows
        if self.reward in graded:
            rewards = graded.numbers(self.reward)
            for name, pairs in (("chosen", chosen), ("all", every)):
                gaps = np.abs(rewards[pairs[:, 0]] - rewards[pairs[:, 1]])
                told |= {f"gap_{name}": float(gaps.mean()), f"error_{name}": float((1 / (1 + np.exp(gaps))).mean())}
        return rounded(told)

    def _chosen(self, rows: Table, seed: int) -> list[tuple[Pair, float, float]]:
        """Of each prompt, the rows of its pair, the earlier one first, their similarity, and what it is judged by."""
        vectors, lengths = self._vectors(rows), self._lengths(rows)
        slope = self._length_slope(rows, vectors) if self.control_length else 0.0
        chosen = []
        for number, candidates in enumerate(self._prompts(rows)):
            similarity = vectors[candidates] @ vectors[candidates].T
            shorter = np.minimum.outer(lengths[candidates], lengths[candidates])
            adjusted = np.round(similarity - slope * np.log1p(shorter), DECIMALS)
            pair = self._choose(adjusted, vectors[candidates], seed, number)
            rows_of_pair = (int(candidates[pair[0]]), int(candidates[pair[1]]))
            chosen.append((rows_of_pair, round(float(similarity[pair]), DECIMALS), float(adjusted[pair])))
        return chosen

    def _best_first(self, scores: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
        """Numbers of prompts, those first whose pair is most of what the rule looks for."""
        if self.rule == "random":
            return stream_at(seed, 2**63).permutation(len(scores))
        return np.argsort(-scores if self.rule == "hard" else scores, kind="stable")

    def _choose(self, similarity: NDArray[np.floating], vectors: NDArray[np.floating], seed: int, unit: int) -> Pair:
        """Places of the pair among the candidates, the first one of equals, in order."""
        pairs = list(combinations(range(len(similarity)), 2))
        if self.rule == "random":
            return pairs[int(stream_at(seed, unit).integers(len(pairs)))]
        if self.rule == "centroid":
            return nearest_to_centres(vectors, seed)
        values = [similarity[pair] for pair in pairs]
        return pairs[int(np.argmin(values) if self.rule == "easy" else np.argmax(values))]

    def _prompts(self, rows: Table) -> list[NDArray[np.int64]]:
        """The rows of each prompt, in the order in which prompts first appear."""
        prompts = rows.keys(self.prompt)
        of_prompt: dict[str, list[int]] = {}
        for row, prompt in enumerate(prompts):
            of_prompt.setdefault(prompt, []).append(row)
        singles = [prompt for prompt, members in of_prompt.items() if len(members) < 2]
        if singles and (self.singles == "refuse" or len(singles) == len(of_prompt)):
            raise MisuseError(
                f"{len(singles)} prompts of {rows.source} have a single candidate, the first is {singles[0][:60]!r}: "
                "give each two or more"
                + (", or leave these out with --singles skip" if self.singles == "refuse" else "")
            )
        return [np.array(members) for members in of_prompt.values() if len(members) > 1]

    def _vectors(self, rows: Table) -> NDArray[np.float32]:
        vectors = rows.vectors(self.embedding)
        return unit(vectors - vectors.mean(0) if self.center else vectors)

    def _lengths(self, rows: Table) -> NDArray[np.int64]:
        """(N,) characters of each response; 0 where rows have no texts."""
        if self.response not in rows:
            if self.control_length:
                raise MisuseError(f"{rows.source} has no column {self.response} whose length could be controlled for")
            return np.zeros(len(rows), np.int64)
        return np.array([len(text) for text in rows.texts(self.response)])

    def _length_slope(self, rows: Table, vectors: NDArray[np.float32]) -> float:
        """How much similarity grows with the logarithm of the shorter length, over all pairs, by least squares."""
        lengths, shorter, similarity = self._lengths(rows), [], []
        for candidates in self._prompts(rows):
            pairs = np.triu_indices(len(candidates), 1)
            shorter.append(np.log1p(np.minimum.outer(lengths[candidates], lengths[candidates]))[pairs])
            similarity.append((vectors[candidates] @ vectors[candidates].T)[pairs])
        x, y = np.concatenate(shorter), np.concatenate(similarity)
        x -= x.mean()
        return float(x @ y / max(x @ x, 1e-12))


def nearest_to_centres(vectors: NDArray[np.floating], seed: int = 0) -> Pair:
    """The two candidates nearest to the centres of the two clusters that k-means would make; in order.

    Up to ten candidates the clusters are exact: of all divisions, the one with the least spread.
    """
    count = len(vectors)
    if count > _MOST_ENUMERATED:
        members = KMeans(2, n_init=10, random_state=seed).fit(vectors).labels_ == 1
    else:
        divisions = np.array([[(code >> bit) & 1 for bit in range(count)] for code in range(1, 2 ** (count - 1))], bool)
        gains = [_between(vectors, division) for division in divisions]
        members = divisions[int(np.argmax(np.round(gains, DECIMALS)))]
    nearest = []
    for part in (members, ~members):
        places = np.flatnonzero(part)
        distance = ((vectors[places] - vectors[places].mean(0)) ** 2).sum(1)
        nearest.append(int(places[np.argmin(np.round(distance, DECIMALS))]))
    return min(nearest), max(nearest)


def _between(vectors: NDArray[np.floating], part: NDArray[np.bool_]) -> float:
    """What dividing the vectors takes from their spread: n·m/(n + m) · |difference of the means|²."""
    ours, theirs = vectors[part], vectors[~part]
    return len(ours) * len(theirs) / len(vectors) * float(((ours.mean(0) - theirs.mean(0)) ** 2).sum())
