"""Scores over several seeds, as mean and standard deviation."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Summary:
    """Attributes:
    mean: over the seeds.
    std: standard deviation of a sample (N - 1), 0 for a single value.
    values: one for each seed, or a single one where nothing is random.
    """

    mean: float
    std: float
    values: list[float]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """The summary of one or more values."""
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), std, list(values))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}" if len(self.values) > 1 else f"{self.mean:.2f}"

    def as_json(self) -> dict[str, Any]:
        """Mean, standard deviation and values, rounded to 0.0001."""
        plain = asdict(self)
        return {name: _rounded(value) for name, value in plain.items()}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, ending in a newline."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rounded(value: float | list[float]) -> float | list[float]:
    return [round(each, 4) for each in value] if isinstance(value, list) else round(value, 4)
