"""What the rows of a dataset hold: a kind of row is declared here, and nowhere else in this package."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["hard", "pairs", "replay", "relations"]

CANDIDATES = "candidates"
"""In a manifest's columns: the score of all candidates, before any was dropped."""

DECIMALS = 6
"""Scores are rounded to this many decimals before anything is compared with them or written."""

SURPLUS = "surplus"
"""The count of candidates that met every criterion, but whose row took another one."""


@dataclass(frozen=True)
class RowKind:
    """What every row of a kind has, beside its ``index`` and the dataset's ``seed``.

    Attributes:
        members: names of its images; one image has no name.
        score: the column that rows are chosen by; empty for rows that are not.
        columns: its other columns, with the type that `datasets` gives each.
        reasons: why candidates are dropped, in the order in which the criteria are looked at.
    """

    members: tuple[str, ...]
    score: str
    columns: dict[str, str]
    reasons: tuple[str, ...]


_NEAREST = {"realism": "float64", "nearest_real": "int64", "nearest_similarity": "float64"}

KINDS: dict[Kind, RowKind] = {
    "hard": RowKind(
        ("",),
        "hardness",
        {"hardness": "float64", **_NEAREST},
        ("memorised", "unrealistic", "too_easy", "too_hard", SURPLUS),
    ),
    "pairs": RowKind(
        ("a", "b"),
        "similarity",
        {"similarity": "float64", **_NEAREST},
        ("memorised", "unrealistic", "too_different", "too_alike", SURPLUS),
    ),
    "replay": RowKind(("",), "confidence", {"label": "int64", "confidence": "float64"}, ("unsure",)),
    # What a relation tells beside these depends on what it is about: its maker says so.
    "relations": RowKind((), "", {}, ()),
}


ANCHORED_COLUMNS = {"noise_level": "float64", "anchor": "int64"}
"""What rows of pairs that grew from real images have beside the columns of their kind."""


def columns_of(kind: Kind, criteria: Mapping[str, Any]) -> dict[str, str]:
    """All columns of a dataset's rows beside images, with their types, by what its manifest tells of the kind."""
    anchored = ANCHORED_COLUMNS if criteria.get("noise_levels") else {}
    return {"index": "int64", "seed": "int64", **KINDS[kind].columns, **anchored}


@dataclass
class Row:
    """A row of a dataset in the making.

    Attributes:
        kind: what it is.
        index: its index in the dataset.
        images: (H, W, C) uint8, one for each of its members; empty until a candidate is accepted. Bytes stand for an
            image that is encoded already.
        metadata: its columns.
        dropped: number of its candidates that were dropped, by reason.
        candidate_scores: the score of all its candidates.
        members: names of its images, where these are others than its kind's.
    """

    kind: Kind
    index: int
    images: tuple[NDArray[np.uint8] | bytes, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    candidate_scores: list[float] = field(default_factory=list)
    members: tuple[str, ...] | None = None
