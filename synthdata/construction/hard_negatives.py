"""The rows nearest to each row as its negatives, and which of them may be positives that nobody wrote down."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from synthdata.construction.candidates import Candidates, GraphColumns
from synthdata.construction.embedding import unit
from synthdata.construction.false_negatives import Facts, audit_negatives
from synthdata.construction.graph import FAR
from synthdata.construction.relation import BLOCK, Relation
from synthdata.construction.table import Table
from synthdata.emission.kinds import DECIMALS
from synthdata.errors import MisuseError
from synthdata.ranges import PartialShare, PositiveInt
from synthdata.rng import stream_at


@dataclass
class HardNegatives:
    """Negatives that are hard, corrected for false ones, after HaSa (Zhang et al., WWW 2024, arXiv 2305.10563).

    Rows are images, texts or anything with an embedding: near rows are negatives. Or they are triples of a graph, with
    the columns head, relation and tail: then the tails of near rows are negatives for the anchor's head and relation,
    the tails that the rows know for these are none, and the triples are the graph.

    Attributes:
        k: negatives of each row.
        proposal: hard takes the nearest rows; uniform draws any, as a control.
        max_distance: a negative that a path of at most so many edges of the graph leads to is a suspected fact.
        suspected: keep suspected facts, marked, or drop them and take the next nearest.
        tau: share of the proposed negatives that are false, to be corrected for: suspected facts get so much less
            weight that their sum is reduced by tau, and all negatives are divided by 1 - tau.
        embedding: the column with a row's vector.
        query: the column with an anchor's vector, if that is another one; scores are then products, not cosines.
        head: column of a triple's head, in rows and in the graph.
        relation: column of its relation.
        tail: column of its tail.
        node: the column of rows that names their node in the graph; the number of the row if not given.
        label: column of classes, which the audit alone reads.
        text: column of texts, for an encoder of texts.
    """

    name: ClassVar[str] = "hard_negatives"

    k: PositiveInt = 3
    proposal: Literal["hard", "uniform"] = "hard"
    max_distance: PositiveInt = 2
    suspected: Literal["keep", "drop"] = "keep"
    tau: PartialShare = 0.0
    embedding: str = "embedding"
    query: str = "query"
    head: str = "head"
    relation: str = "relation"
    tail: str = "tail"
    node: str | None = None
    label: str = "label"
    text: str = "text"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.embedding,)

    @property
    def columns(self) -> GraphColumns:
        return GraphColumns(self.head, self.relation, self.tail, self.node)

    def units(self, rows: Table) -> int:
        return len(rows)

    def propose(self, rows: Table, seed: int, start: int = 0) -> Iterator[list[Relation]]:
        candidates = Candidates.of(rows, self.columns)
        queries, vectors = self._vectors(rows)
        if self.k >= len(candidates.rows):
            raise MisuseError(
                f"k is {self.k}, and {rows.source} has {len(candidates.rows)} rows to choose from: lower --k"
            )
        for first in range(start, len(rows), BLOCK):
            anchors = np.arange(first, min(first + BLOCK, len(rows)))
            scores = np.round(queries[anchors] @ vectors[candidates.rows].T, DECIMALS)
            distances = candidates.distances(anchors, self.max_distance)
            allowed = candidates.allowed(anchors)
            if self.suspected == "drop":
                allowed &= ~self._suspects(distances)
            order = scores
            if self.proposal == "uniform":
                order = np.stack([stream_at(seed, int(anchor)).random(scores.shape[1]) for anchor in anchors])
            order = np.where(allowed, order, -np.inf)
            for row, anchor in enumerate(anchors):
                mine = [place for place in _largest(order[row], self.k) if allowed[row, place]]
                yield self._relations(int(anchor), candidates.rows[mine], scores[row, mine], distances[row, mine])

    def audit(self, rows: Table, relations: Iterator[Relation], truth: Table | None = None) -> dict[str, float]:
        candidates = Candidates.of(rows, self.columns)
        facts = Facts.of(rows, self.columns, self.label, candidates, truth)
        return audit_negatives(candidates, facts, self.max_distance, relations)

    def _vectors(self, rows: Table) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        vectors = rows.vectors(self.embedding)
        if self.query not in rows:
            return unit(vectors), unit(vectors)
        queries = rows.vectors(self.query)
        if queries.shape != vectors.shape:
            raise MisuseError(
                f"columns {self.query} and {self.embedding} of {rows.source} have {queries.shape[1]} and "
                f"{vectors.shape[1]} numbers a row: give vectors of one length"
            )
        return queries, vectors

    def _suspects(self, distances: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return (distances > 0) & (distances <= self.max_distance)

    def _relations(
        self, anchor: int, others: NDArray[np.int64], scores: NDArray[np.float32], distances: NDArray[np.uint8]
    ) -> list[Relation]:
        suspected = self._suspects(distances)
        weights = corrected_weights(suspected, self.tau)
        made = []
        for rank, other in enumerate(others.tolist()):
            path = "" if distances[rank] == FAR else f", {distances[rank]} edges away"
            made.append(
                Relation(
                    anchor,
                    "negative",
                    (other,),
                    weight=round(float(weights[rank]), DECIMALS),
                    score=round(float(scores[rank]), DECIMALS),
                    suspected_fact=bool(suspected[rank]),
                    why=f"{self.proposal}, number {rank + 1}{path}",
                )
            )
        return made


def corrected_weights(suspected: NDArray[np.bool_], tau: float) -> NDArray[np.float64]:
    """(K,) weights with which the mean over an anchor's negatives is that over the true ones, by the suspected facts.

    The mean over all is (1 - tau) of that over the true ones and tau of that over the false: (mean of all - tau * mean
    of the suspected) / (1 - tau), never below 0. Without a suspected fact nothing can be corrected: all are 1.

    Source: Chuang et al., "Debiased Contrastive Learning" (NeurIPS 2020), with the prior of HaSa's equation 9.
    """
    if not suspected.any() or tau == 0:
        return np.ones(len(suspected))
    false = tau * len(suspected) / suspected.sum()
    return np.maximum(1 - np.where(suspected, false, 0.0), 0) / (1 - tau)


def _largest(scores: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """The columns of the k largest of (C,) scores, larger ones first, and the first ones of equals."""
    least = np.partition(scores, -k)[-k]
    chosen = np.concatenate([np.flatnonzero(scores > least), np.flatnonzero(scores == least)])[:k]
    return chosen[np.argsort(-scores[chosen], kind="stable")]
