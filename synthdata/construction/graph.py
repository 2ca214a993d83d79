"""Distances in an undirected graph whose nodes have names."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

FAR = 255
"""The distance of what is beyond reach."""


class Graph:
    """Who is linked to whom.

    Args:
        edges: the names of the two ends of each edge; the direction does not count.
        nodes: names that are nodes even where no edge ends.
    """

    def __init__(self, edges: Iterable[tuple[str, str]], nodes: Sequence[str] = ()) -> None:
        ends = list(edges)
        names = dict.fromkeys([*nodes, *(name for edge in ends for name in edge)])
        self.number = {name: number for number, name in enumerate(names)}
        pairs = np.array([(self.number[one], self.number[other]) for one, other in ends], np.int64).reshape(-1, 2)
        rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
        size = (len(names), len(names))
        self._linked = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), size)

    def numbers(self, names: Sequence[str]) -> NDArray[np.int64]:
        """(N,) the numbers of the nodes with these names."""
        return np.array([self.number[name] for name in names], np.int64)

    def distances(self, nodes: NDArray[np.int64], farthest: int) -> NDArray[np.uint8]:
        """(N, all nodes) edges of the shortest path from each of ``nodes``; ``FAR`` where it is longer than asked.

        Args:
            nodes: (N,) numbers of nodes.
            farthest: the longest path that is looked for.
        """
        distance = np.full((len(nodes), len(self.number)), FAR, np.uint8)
        places = np.arange(len(nodes))
        distance[places, nodes] = 0
        frontier = csr_matrix((np.ones(len(nodes), np.float32), (places, nodes)), distance.shape)
        for step in range(1, farthest + 1):
            reached = (frontier @ self._linked).tocoo()
            new = distance[reached.row, reached.col] == FAR
            row, column = reached.row[new], reached.col[new]
            distance[row, column] = step
            frontier = csr_matrix((np.ones(len(row), np.float32), (row, column)), distance.shape)
        return distance
