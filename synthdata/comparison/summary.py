"""Scores over several seeds, as mean and standard deviation, and their differences with an interval."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import stdtrit

CONFIDENCE = 0.95

GAINS = "in points within a seed, with the mean's 95 % interval and the number of seeds in which it is positive"
"""What `Summary.as_gain` says, for the words above a table."""


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
    def of(cls, values: Iterable[float]) -> "Summary":
        """The summary of one or more values."""
        values = list(values)
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), std, values)

    @property
    def half(self) -> float | None:
        """Half of the width of the mean's 95 % interval, by Student's t; None for a single value."""
        if len(self.values) < 2:
            return None
        quantile = float(stdtrit(len(self.values) - 1, (1 + CONFIDENCE) / 2))
        return quantile * self.std / math.sqrt(len(self.values))

    @property
    def as_gain(self) -> str:
        """Of differences within a seed: their mean, its 95 % interval, and how many of them are positive."""
        interval = "" if self.half is None else f" [{self.mean - self.half:.2f}, {self.mean + self.half:.2f}]"
        return f"{self.mean:+.2f}{interval} ({sum(value > 0 for value in self.values)} of {len(self.values)})"

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
