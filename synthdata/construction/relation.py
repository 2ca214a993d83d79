"""One relation between rows of a source, and what has to hold for it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from synthdata.construction.table import Table

Kind = Literal["positive", "negative", "preferred", "window", "mask"]


@dataclass(frozen=True, slots=True)
class Relation:
    """What some rows are to another.

    Attributes:
        anchor: the row that it is about.
        kind: what ``other`` is to the anchor: a positive, a negative, a response that the anchor is preferred to, or
            the frames of a window that the anchor begins; a mask has no other row.
        other: rows.
        weight: how much it counts, relative to the others of its anchor; 0 for not at all.
        score: what it was chosen by, in the strategy's unit; 0 where it was not chosen by any.
        suspected_fact: a negative that may be a positive nobody has written down.
        span: first position and length of a stretch: of a window in its trajectory, of a region in its sequence; a
            length of 0 for none.
        mask: 1 for each masked position, 0 for each other one; empty for none.
        why: how it came to be, for a person to read.
    """

    anchor: int
    kind: Kind
    other: tuple[int, ...] = ()
    weight: float = 1.0
    score: float = 0.0
    suspected_fact: bool = False
    span: tuple[int, int] = (0, 0)
    mask: tuple[int, ...] = ()
    why: str = ""


class Strategy(Protocol):
    """Turns a table into relations between its rows. It trains nothing and writes nothing."""

    @property
    def name(self) -> str:
        """As the command line spells it."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that it reads."""

    def units(self, rows: Table) -> int:
        """What relations are proposed for, one after the other: anchors, prompts, trajectories or sequences."""

    def propose(self, rows: Table, seed: int, start: int = 0) -> Iterator[list[Relation]]:
        """The relations of each unit from ``start``, a multiple of ``BLOCK``, on.

        Those of a unit depend on the rows, the seed and the unit alone.

        Raises:
            MisuseError: the rows are not what the strategy needs.
        """

    def audit(self, rows: Table, relations: Iterator[Relation], truth: Table | None = None) -> dict[str, float]:
        """Numbers that tell what ``relations`` hold, for the card. It has to read all of them.

        Args:
            truth: what was hidden from ``propose`` and tells true relations from false ones, where there is such.
        """


BLOCK = 256
"""Units are proposed in blocks that start at multiples of this, so that a sum's last bits do not depend on where a
process begins."""


def problem(relation: Relation, rows: int) -> str | None:
    """What is wrong with a relation between the rows of a source; None if nothing is.

    Args:
        rows: the number of the source's rows.
    """
    first, length = relation.span
    broken = {
        f"it has kind {relation.kind!r}": relation.kind not in get_args(Kind),
        f"it names a row that is not one of {rows:,}": not all(
            0 <= r < rows for r in (relation.anchor, *relation.other)
        ),
        f"its weight is {relation.weight}": not (math.isfinite(relation.weight) and relation.weight >= 0),
        f"its score is {relation.score}": not math.isfinite(relation.score),
        "it has no other row": relation.kind in ("positive", "negative", "window") and not relation.other,
        "its anchor is its other row": relation.kind in ("negative", "preferred") and relation.anchor in relation.other,
        f"its span is {relation.span}": first < 0 or length < 0 or (relation.kind == "window" and length < 1),
        "its window has another number of frames": relation.kind == "window" and len(relation.other) != length,
        "its mask is not of 0 and 1": not set(relation.mask) <= {0, 1},
        "it has no mask": relation.kind == "mask" and not relation.mask,
    }
    return next((told for told, holds in broken.items() if holds), None)


def rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    """JSON-ready: counts as they are, other numbers to six digits, so that the last bits of a sum are not told."""
    whole = {name: value for name, value in numbers.items() if isinstance(value, int | np.integer)}
    return {name: int(value) if name in whole else float(f"{value:.6g}") for name, value in numbers.items()}
