"""Relations as they are written: their columns, and copies of what they are about."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Features, List, Value
from datasets import Image as ImageFeature
from numpy.typing import NDArray
from PIL import Image

from synthdata.construction.relation import Relation
from synthdata.construction.table import Table
from synthdata.data.decode import is_greyscale
from synthdata.data.identity import stored
from synthdata.emission.encoding import image_column
from synthdata.emission.kinds import Row
from synthdata.errors import MisuseError

_COLUMNS = {
    "index": Value("int64"),
    "anchor": Value("int64"),
    "kind": Value("string"),
    "other": List(Value("int64")),
    "weight": Value("float64"),
    "score": Value("float64"),
    "suspected_fact": Value("bool"),
    "span": List(Value("int64")),
    "mask": List(Value("uint8")),
    "why": Value("string"),
}


def columns_of(relation: Relation, index: int, ids: Any) -> dict[str, Any]:
    """The columns of a relation, with the source's rows in the place of the table's.

    Args:
        index: of the relation in the dataset.
        ids: (N,) the row of the source that each row of the table is.
    """
    return {
        "index": index,
        "anchor": int(ids[relation.anchor]),
        "kind": relation.kind,
        "other": [int(ids[row]) for row in relation.other],
        "weight": relation.weight,
        "score": relation.score,
        "suspected_fact": relation.suspected_fact,
        "span": list(relation.span),
        "mask": list(relation.mask),
        "why": relation.why,
    }


def relation_of(columns: dict[str, Any]) -> Relation:
    """The inverse of ``columns_of``, of the source's rows."""
    return Relation(
        columns["anchor"],
        columns["kind"],
        tuple(columns["other"]),
        columns["weight"],
        columns["score"],
        columns["suspected_fact"],
        tuple(columns["span"]),
        tuple(columns["mask"]),
        columns["why"],
    )


@dataclass(frozen=True)
class RelationEncoder:
    """Encodes relations between the rows of a table.

    Attributes:
        rows: the table.
        copied: its columns that are copied beside the relations; of images, ``image``.
        names: what a pair's columns are called: the prompt's, the anchor's response, and the other's; None where the
            relations are no pairs to be judged, and columns are called after the table's, as ``anchor_x`` of the
            anchor and ``other_x``, a list, of the others.
        others: whether relations have other rows.
    """

    rows: Table
    copied: tuple[str, ...] = ()
    names: tuple[str, str, str] | None = None
    others: bool = True

    def features(self) -> Features:
        """The columns of a Parquet file."""
        columns: dict[str, Any] = dict(_COLUMNS)
        for name in self._told():
            feature = _feature(self.rows.values(name)[0])
            for column, many in self._named(name):
                columns[column] = List(feature) if many else feature
        members = self._image_members()
        return Features({**{image_column(member): ImageFeature() for member in members}, **columns})

    def row(self, relation: Relation, index: int) -> Row:
        """A relation, with its index in the dataset, as it is written."""
        columns = columns_of(relation, index, self.rows.ids)
        for name in self._told():
            values = self.rows.values(name)
            for column, many in self._named(name):
                if column.startswith("other_") or (self.names and column == self.names[2]):
                    told = [_plain(values[row]) for row in relation.other]
                    columns[column] = told if many else told[0]
                else:
                    columns[column] = _plain(values[relation.anchor])
        members = self._image_members()
        images = tuple(self._image(row) for row in (relation.anchor, *relation.other)[: len(members)])
        return Row("relations", index, images, columns, members=members)

    def _told(self) -> list[str]:
        return [name for name in self.copied if name != "image"]

    def _named(self, name: str) -> list[tuple[str, bool]]:
        """The columns that one of the table becomes, and whether each holds a list of its values."""
        if self.names is None:
            return [(f"anchor_{name}", False), (f"other_{name}", True)][: 1 + self.others]
        prompt, first, second = self.names
        return [("prompt", False)] if name == prompt else [(first, False), (second, False)]

    def _image_members(self) -> tuple[str, ...]:
        if "image" not in self.copied:
            return ()
        return ("anchor", "other")[: 1 + self.others] if self.names is None else self.names[1:]

    def _image(self, row: int) -> NDArray[np.uint8]:
        """(H, W, C) as the source has it."""
        assert self.rows.images is not None
        encoded = self.rows.images.rows.read(int(self.rows.ids[row]))
        if isinstance(encoded, np.ndarray):
            return encoded if encoded.ndim == 3 else encoded[:, :, None]
        try:
            with Image.open(io.BytesIO(stored(encoded))) as image:
                pixels = np.array(image.convert("L" if is_greyscale(encoded) else "RGB"))
        except Exception as error:  # Pillow's decoders raise almost any type on damaged files
            raise MisuseError(
                f"row {self.rows.ids[row]} of {self.rows.source} is no readable image: mend it"
            ) from error
        return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _feature(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, list):
        return List(_feature(value[0]) if value else Value("float64"))
    return Value({bool: "bool", int: "int64", float: "float64"}.get(type(value), "string"))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
