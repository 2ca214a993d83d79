"""What every data source hands over: splits of undecoded images, with labels where they exist."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from synthdata.data.decode import Encoded

IMAGE_EXTENSIONS = frozenset(
    {"png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "tif", "tiff", "pbm", "pgm", "ppm", "pnm", "jp2"}
)
UNLABELLED = -1


class Rows(ABC):
    """Random access to the undecoded images of one source split. Picklable, so that worker processes can read it."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, row: int) -> Encoded:
        """The image of one row, as the source stores it.

        Raises:
            UnreadableImageError: the storage does not give it.
        """

    @abstractmethod
    def name(self, row: int) -> str:
        """How a person finds this row: a file name, or a file name and a row number."""


@dataclass
class SourceSplit:
    """One split of a source.

    Attributes:
        rows: the undecoded images.
        labels: (N,) int64 class indices, `UNLABELLED` where a row has none; None when no row has one.
        unreadable: rows whose image could not be decoded, as far as they were read.
    """

    rows: Rows
    labels: Tensor | None = None
    unreadable: set[int] = field(default_factory=set)


@dataclass
class Source:
    """The splits of a data source by name: ``train``, and ``validation`` and ``test`` where the source has its own."""

    splits: dict[str, SourceSplit]
    classes: list[str] | None = None


class ArrayRows(Rows):
    """Images that are already in memory as uint8 arrays, (N, H, W) or (N, H, W, C)."""

    def __init__(self, arrays: np.ndarray, name: str):
        self._arrays = arrays
        self._name = name

    def __len__(self) -> int:
        return len(self._arrays)

    def read(self, row: int) -> Encoded:
        return self._arrays[row]

    def name(self, row: int) -> str:
        return f"{self._name} row {row}"


def index_labels(
    columns: Mapping[str, Sequence[int | str | None]],
) -> tuple[dict[str, Tensor | None], list[str] | None]:
    """Class indices of raw labels, alike in every split: the distinct labels are numbered in sorted order.

    Args:
        columns: raw labels by split; None or a negative number where a row has no label.

    Returns:
        (N,) int64 by split, None for a split without labels; and the class names, None when there are no labels.
    """
    present = {label for column in columns.values() for label in column if label is not None}
    numbers = {label for label in present if isinstance(label, int)}
    if numbers == present:
        classes = [str(number) for number in sorted(numbers) if number >= 0]
    else:
        classes = sorted({str(label) for label in present})
    index_of: dict[str | None, int] = {name: index for index, name in enumerate(classes)}
    indexed: dict[str, Tensor | None] = {}
    for split, column in columns.items():
        texts = (None if label is None else str(label) for label in column)
        indices = torch.tensor([index_of.get(text, UNLABELLED) for text in texts])
        indexed[split] = indices if (indices >= 0).any() else None
    return indexed, classes or None
