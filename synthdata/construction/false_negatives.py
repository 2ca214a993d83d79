"""How many of the negatives are false, by what was hidden from the strategy, and what a graph tells of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthdata.construction.candidates import Candidates, GraphColumns
from synthdata.construction.graph import FAR
from synthdata.construction.relation import BLOCK, Relation, rounded
from synthdata.construction.table import Table

FARTHEST = 4
"""Distances are told up to one less than this, and all beyond together."""

_ANCHORS_LOOKED_AT = 2_000
"""What holds for all negatives of all anchors is told from so many evenly spaced ones."""


@dataclass(frozen=True)
class Facts:
    """What is true between anchors and candidates though the strategy was not told.

    Attributes:
        labels: (N,) classes of rows; a negative of the anchor's own class is false. None for facts of a graph.
        hidden: of triples, the places among the candidates of tails that are true, by head and relation.
        triples: of triples, each hidden one's head node and tail node in the graph, as far as it has both.
    """

    labels: NDArray[np.int64] | None
    hidden: dict[tuple[str, str], NDArray[np.int64]]
    triples: NDArray[np.int64]

    @classmethod
    def of(
        cls, rows: Table, columns: GraphColumns, label: str, candidates: Candidates, truth: Table | None
    ) -> "Facts | None":
        """By the triples in ``truth``, or else by the classes of rows; None where there is neither."""
        if truth is not None and columns.are_in(truth) and candidates.graph is not None:
            return cls(None, *_hidden(rows, columns, candidates, truth))
        source = truth if truth is not None and label in truth else rows
        if label not in source or candidates.queries:
            return None
        return cls(np.unique(source.keys(label), return_inverse=True)[1], {}, np.empty((0, 2), np.int64))

    def among(self, candidates: Candidates, anchors: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(B, C) whether a candidate would be a false negative of an anchor."""
        if self.labels is not None:
            return self.labels[anchors][:, None] == self.labels[candidates.rows][None]
        false = np.zeros((len(anchors), len(candidates.rows)), bool)
        for row, anchor in enumerate(anchors):
            false[row, self.hidden.get(candidates.queries[anchor], [])] = True
        return false


def _hidden(
    rows: Table, columns: GraphColumns, candidates: Candidates, truth: Table
) -> tuple[dict[tuple[str, str], NDArray[np.int64]], NDArray[np.int64]]:
    assert candidates.graph is not None
    heads, relations, tails = (truth.keys(name) for name in (columns.head, columns.relation, columns.tail))
    names = rows.keys(columns.tail)
    place = {names[row]: number for number, row in enumerate(candidates.rows)}
    number = candidates.graph.number
    hidden: dict[tuple[str, str], set[int]] = {}
    for head, relation, tail in zip(heads, relations, tails, strict=True):
        if tail in place:
            hidden.setdefault((head, relation), set()).add(place[tail])
    known = [(number[h], number[t]) for h, t in zip(heads, tails, strict=True) if h in number and t in number]
    places = {query: np.array(sorted(found)) for query, found in hidden.items()}
    return places, np.array(known, np.int64).reshape(-1, 2)


def audit_negatives(
    candidates: Candidates, facts: Facts | None, max_distance: int, relations: Iterator[Relation]
) -> dict[str, float]:
    """Counts and, where ``facts`` are given, false-negative rates: of what was proposed, of uniform negatives, by path.

    ``lift`` is the share of facts that the graph's prior covers over the share of all candidates that it covers: at 1
    the graph knows nothing.
    """
    rows = [(r.anchor, r.other[0], r.weight, r.suspected_fact, r.score) for r in relations]
    if not rows:
        return {"negatives": 0}
    anchors, others = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    weights, suspected, scores = (np.array([row[i] for row in rows], np.float64) for i in (2, 3, 4))
    told = {"negatives": len(rows), "score": scores.mean(), "suspected": suspected.mean()}
    place = np.zeros(int(candidates.rows.max()) + 1, np.int64)
    place[candidates.rows] = np.arange(len(candidates.rows))
    if facts is None:
        return rounded(told)
    false, distances = _looked_up(candidates, facts, anchors, place[others])
    told |= {
        "false_negative_rate": false.mean(),
        "false_negative_rate_weighted": (weights * false).sum() / max(weights.sum(), 1e-12),
        **_uniform(candidates, facts, max_distance),
    }
    told["times_uniform"] = told["false_negative_rate"] / max(told["false_negative_rate_uniform"], 1e-12)
    if candidates.graph is not None:
        told |= {"suspected_precision": _mean(false[suspected > 0]), "suspected_recall": _mean(suspected[false])}
        for step in range(1, FARTHEST + 1):
            at = distances == step if step < FARTHEST else distances >= FARTHEST
            name = f"distance_{step}" if step < FARTHEST else "distance_farther"
            told |= {f"{name}_share": at.mean(), f"{name}_false_negative_rate": _mean(false[at])}
    return rounded(told)


def _looked_up(
    candidates: Candidates, facts: Facts, anchors: NDArray[np.int64], places: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Of each relation, whether it is a false negative, and its distance in the graph."""
    false, distances = np.zeros(len(anchors), bool), np.full(len(anchors), FAR, np.uint8)
    distinct, number = np.unique(anchors, return_inverse=True)
    order = np.argsort(number, kind="stable")
    for first in range(0, len(distinct), BLOCK):
        block = distinct[first : first + BLOCK]
        mine = order[np.searchsorted(number[order], first) : np.searchsorted(number[order], first + len(block))]
        row = number[mine] - first
        false[mine] = facts.among(candidates, block)[row, places[mine]]
        distances[mine] = candidates.distances(block, FARTHEST - 1)[row, places[mine]]
    return false, distances


def _uniform(candidates: Candidates, facts: Facts, max_distance: int) -> dict[str, float]:
    """The false-negative rate of negatives drawn uniformly, in expectation, and what the graph's prior covers."""
    count = len(candidates.anchor_nodes)
    looked_at = np.arange(0, count, -(-count // _ANCHORS_LOOKED_AT))
    rate, covered, hit, total = 0.0, 0.0, 0.0, 0
    for first in range(0, len(looked_at), BLOCK):
        anchors = looked_at[first : first + BLOCK]
        allowed, false = candidates.allowed(anchors), facts.among(candidates, anchors)
        rate += ((false & allowed).sum(1) / np.maximum(allowed.sum(1), 1)).sum()
        if facts.labels is not None and candidates.graph is not None:
            distances = candidates.distances(anchors, max_distance)
            near = (distances > 0) & (distances <= max_distance)
            covered += (near & allowed).sum() / allowed.sum() * len(anchors)
            hit, total = hit + (near & false & allowed).sum(), total + int((false & allowed).sum())
    told: dict[str, float] = {"false_negative_rate_uniform": rate / len(looked_at)}
    if candidates.graph is None:
        return told
    if facts.labels is None:
        coverage, hits = _prior_of_triples(candidates, facts, max_distance)
    else:
        coverage, hits = covered / len(looked_at), hit / max(total, 1)
    return told | {"prior_coverage": coverage, "prior_hits": hits, "lift": hits / max(coverage, 1e-12)}


def _prior_of_triples(candidates: Candidates, facts: Facts, max_distance: int) -> tuple[float, float]:
    """Of the hidden triples: the share of nodes that is near their heads, and of tails that is."""
    assert candidates.graph is not None
    near_nodes, near_tails = 0.0, 0
    for first in range(0, len(facts.triples), BLOCK):
        heads, tails = facts.triples[first : first + BLOCK].T
        near = candidates.graph.distances(heads, max_distance) <= max_distance
        near_tails += int(near[np.arange(len(tails)), tails].sum())
        near[np.arange(len(heads)), heads] = False
        near_nodes += near.mean(1).sum()
    count = max(len(facts.triples), 1)
    return near_nodes / count, near_tails / count


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0
