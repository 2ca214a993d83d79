"""The rows of a source, column by column, with every column checked as it is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthdata.data.source import SourceSplit
from synthdata.errors import MisuseError


@dataclass(frozen=True)
class Table:
    """Rows with named columns, and images where the source has some.

    Attributes:
        source: as it was given, for messages.
        columns: the values of each column, or how to read them, row by row.
        ids: (N,) int64: the row of the source that each row is.
        source_rows: rows of the source, used or not.
        images: the source's images, by the row of the source; None for a source without.
        identity: JSON-ready: what tells the source from another.
        pictures: columns that hold images.
        edges: of a graph between the rows, in columns as triples have them; None without one.
    """

    source: str
    columns: Mapping[str, Sequence[Any] | NDArray[Any] | Callable[[], Any]]
    ids: NDArray[np.int64]
    source_rows: int
    images: SourceSplit | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    edges: "Table | None" = None
    pictures: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: str = "rows", **columns: Any) -> "Table":
        """A table of columns that are in memory already."""
        rows = len(next(iter(columns.values())))
        return cls(source, columns, np.arange(rows), rows)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def is_image(self, name: str) -> bool:
        """Whether a column holds images."""
        return name in self.pictures

    def values(self, name: str) -> Any:
        """The column ``name``, as it is.

        Raises:
            MisuseError: there is none.
        """
        if name not in self.columns:
            near = get_close_matches(name, self.columns, n=1)
            hint = f"did you mean {near[0]}?" if near else "name another by its flag"
            raise MisuseError(f"{self.source} has no column {name}, only {', '.join(self.columns) or 'none'}: {hint}")
        column = self.columns[name]
        return column() if callable(column) else column

    def texts(self, name: str) -> list[str]:
        """A column of texts; others are refused."""
        values = list(self.values(name))
        for row, value in enumerate(values):
            if not isinstance(value, str):
                raise MisuseError(f"{self._place(name, row)} holds {_shown(value)}, not a text: name a column of texts")
        return values

    def keys(self, name: str) -> list[str]:
        """A column of names or whole numbers, as texts; others are refused."""
        values = list(self.values(name))
        for row, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
                raise MisuseError(
                    f"{self._place(name, row)} holds {_shown(value)}, neither a text nor a whole number: name another"
                )
        return [str(value) for value in values]

    def sequences(self, name: str) -> list[str | list[Any]]:
        """A column of texts or of lists; others are refused."""
        values = list(self.values(name))
        for row, value in enumerate(values):
            if not isinstance(value, str | list | tuple | np.ndarray):
                raise MisuseError(
                    f"{self._place(name, row)} holds {_shown(value)}, neither a text nor a list: name another"
                )
        return values

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(N,) a column of finite numbers; others are refused."""
        return self._finite(name, self.values(name), dimensions=1)

    def vectors(self, name: str) -> NDArray[np.float32]:
        """(N, D) a column of vectors of finite numbers, all of one length; others are refused."""
        return self._finite(name, self.values(name), dimensions=2).astype(np.float32)

    def _finite(self, name: str, values: Any, dimensions: int) -> NDArray[np.float64]:
        wanted = "a number" if dimensions == 1 else "a vector of numbers"
        try:
            array = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            array = np.empty(())
        if array.ndim != dimensions:
            row = _odd_row(values, dimensions)
            raise MisuseError(
                f"{self._place(name, row)} holds {_shown(values[row])}, not {wanted} like the others: name another"
            )
        finite = np.isfinite(array).reshape(len(array), -1).all(1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise MisuseError(f"{self._place(name, row)} holds a value that is not finite: mend or remove the row")
        return array

    def _place(self, name: str, row: int) -> str:
        return f"column {name} of {self.source}, row {self.ids[row]},"


def _odd_row(values: Sequence[Any], dimensions: int) -> int:
    """The first row that is no number, or no vector as long as the first one."""
    length = None
    for row, value in enumerate(values):
        try:
            array = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            return row
        if array.ndim != dimensions - 1 or (length is not None and array.shape != length):
            return row
        length = array.shape
    return 0


def _shown(value: Any) -> str:
    text = repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
    return text if len(text) <= 40 else f"{text[:37]}..."
