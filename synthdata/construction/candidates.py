"""Which rows may be negatives of which, by what is known of them, and how far apart a graph has them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthdata.construction.graph import FAR, Graph
from synthdata.construction.table import Table
from synthdata.errors import MisuseError


class GraphColumns(NamedTuple):
    """Columns of triples, and the one of rows that names their node; as the options of ``HardNegatives``."""

    head: str
    relation: str
    tail: str
    node: str | None = None

    def are_in(self, rows: Table) -> bool:
        """Whether ``rows`` are triples."""
        return all(name in rows for name in (self.head, self.relation, self.tail))


@dataclass(frozen=True)
class Candidates:
    """Which rows may be negatives of which, and how far they are apart.

    Attributes:
        rows: (C,) rows that negatives are chosen from: all, or of triples one for each tail.
        anchor_nodes: (N,) each row's node in the graph; likewise ``nodes`` (C,) of the candidates.
        known: of triples, the candidates that are known tails, by head and relation.
        queries: of triples, each row's head and relation.
        graph: None without one.
    """

    rows: NDArray[np.int64]
    anchor_nodes: NDArray[np.int64]
    nodes: NDArray[np.int64]
    known: dict[tuple[str, str], NDArray[np.int64]]
    queries: list[tuple[str, str]]
    graph: Graph | None

    @classmethod
    def of(cls, rows: Table, columns: GraphColumns) -> "Candidates":
        """The candidates among ``rows``, which are triples, or have a graph beside them, or none.

        Raises:
            MisuseError: the graph is one of other rows.
        """
        if columns.are_in(rows):
            return _of_triples(rows, columns)
        every = np.arange(len(rows))
        edges = rows.edges
        if edges is None:
            return cls(every, every, every, {}, [], None)
        names = [str(row) for row in rows.ids] if columns.node is None else rows.keys(columns.node)
        ends = list(zip(edges.keys(columns.head), edges.keys(columns.tail), strict=True))
        _check_nodes(rows, names, edges, ends, columns.node)
        graph = Graph(ends, names)
        nodes = graph.numbers(names)
        return cls(every, nodes, nodes, {}, [], graph)

    def allowed(self, anchors: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(B, C) whether a candidate may be a negative of an anchor: not itself, nor what it is known to go with."""
        allowed = self.rows[None] != anchors[:, None]
        if self.queries:
            allowed[:] = True
            for row, anchor in enumerate(anchors):
                allowed[row, self.known[self.queries[anchor]]] = False
        return allowed

    def distances(self, anchors: NDArray[np.int64], farthest: int) -> NDArray[np.uint8]:
        """(B, C) edges from an anchor to a candidate."""
        if self.graph is None:
            return np.full((len(anchors), len(self.rows)), FAR, np.uint8)
        return self.graph.distances(self.anchor_nodes[anchors], farthest)[:, self.nodes]


def _of_triples(rows: Table, columns: GraphColumns) -> Candidates:
    heads, relations, tails = (rows.keys(name) for name in (columns.head, columns.relation, columns.tail))
    first: dict[str, int] = {}
    for row, tail in enumerate(tails):
        first.setdefault(tail, row)
    place = {tail: number for number, tail in enumerate(first)}
    queries = list(zip(heads, relations, strict=True))
    known: dict[tuple[str, str], set[int]] = {}
    for query, tail in zip(queries, tails, strict=True):
        known.setdefault(query, set()).add(place[tail])
    graph = Graph(zip(heads, tails, strict=True))
    return Candidates(
        np.array(list(first.values())),
        graph.numbers(heads),
        graph.numbers(list(first)),
        {query: np.array(sorted(places)) for query, places in known.items()},
        queries,
        graph,
    )


def _check_nodes(rows: Table, names: list[str], edges: Table, ends: list[tuple[str, str]], column: str | None) -> None:
    """Refuse a graph of other rows; that of a column of classes may have nodes above these."""
    nodes = {name for edge in ends for name in edge}
    if column is None and (foreign := nodes - set(names)):
        raise MisuseError(
            f"{edges.source} names {min(foreign)}, which is no row of {rows.source}: number the rows from 0, or give "
            "the column that names the nodes with --node"
        )
    if column is not None and (missing := set(names) - nodes):
        raise MisuseError(
            f"{edges.source} has no node {min(missing)}, which column {column} of {rows.source} names: add it to the "
            "graph, or give another --node"
        )
