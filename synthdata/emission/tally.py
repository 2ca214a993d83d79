"""Counting what a shard keeps and what was dropped for it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthdata.emission.encoding import EncodedRow
from synthdata.emission.kinds import CANDIDATES, DECIMALS, KINDS, Kind


@dataclass
class Tally:
    """Counts of one shard, such that the counts of shards add up to those of the dataset exactly.

    Attributes:
        kind: what its rows are.
        edges: for each column that is counted, the edges of its histogram.
    """

    kind: Kind
    edges: dict[str, list[float]]
    candidates: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    values: dict[str, list[float]] = field(default_factory=dict)

    def counting(self, rows: Iterable[EncodedRow]) -> Iterator[EncodedRow]:
        """``rows``, counted as they pass."""
        for row in rows:
            self.candidates += len(row.candidate_scores)
            self.dropped.update(row.dropped)
            for column in self.edges:
                self.values.setdefault(column, []).append(row.metadata[column])
            if KINDS[self.kind].score:
                self.values.setdefault(CANDIDATES, []).extend(row.candidate_scores)
            yield row

    def summary(self) -> dict[str, Any]:
        """JSON-ready: candidates, drops by reason, and for each column the counts in its bins and an exact sum."""
        return {
            "candidates": self.candidates,
            "dropped": {reason: self.dropped[reason] for reason in KINDS[self.kind].reasons},
            "columns": {column: self._column(column, values) for column, values in self.values.items()},
        }

    def _column(self, column: str, values: list[float]) -> dict[str, Any]:
        edges = self.edges[KINDS[self.kind].score if column == CANDIDATES else column]
        finite = np.array(values)[np.isfinite(values)]
        counts, _ = np.histogram(finite.clip(edges[0], edges[-1]), edges)
        # in whole units of the last decimal, since floating-point sums depend on their order
        units = int(np.round(finite * 10**DECIMALS).astype(np.int64).sum())
        return {
            "units": units,
            "count": len(finite),
            "min": float(finite.min()),
            "max": float(finite.max()),
            "histogram": counts.tolist(),
        }
