"""One split of real images, decoded on first use, and the splits of one source together."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from synthdata.data.decode import PixelFormat, UnreadableImageError, decode, is_tiny, no_pillow_warnings
from synthdata.data.source import SourceSplit
from synthdata.errors import MisuseError
from synthdata.memory import check_fits
from synthdata.processes import rank

_logger = logging.getLogger(__name__)
_ROWS_PER_TASK = 64
_MOST_THREADS = 32


class Images(Dataset[Tensor]):
    """Real images of one split: a map-style dataset of (C, H, W) uint8 tensors.

    A split whose pixels fit into ``resident_bytes`` is decoded when it is first used and kept in memory; images that
    cannot be read are left out with one warning. A larger split stays on disk and is decoded image by image.

    Args:
        split: the source split that the images come from.
        candidates: (N,) int64 rows of ``split``, readable or not.
        pixel_format: what the images are decoded to.
        resident_bytes: the most memory that decoded pixels may take.
    """

    def __init__(self, split: SourceSplit, candidates: Tensor, pixel_format: PixelFormat, resident_bytes: int):
        self._split = split
        self._candidates = candidates
        self._format = pixel_format
        self._resident_bytes = resident_bytes
        self._pixels: Tensor | None = None

    @property
    def channels(self) -> int:
        """1 for greyscale, 3 for RGB."""
        return self._format.channels

    @property
    def image_size(self) -> int:
        """Side of the square images in pixels."""
        return self._format.image_size

    @property
    def source(self) -> SourceSplit:
        """The source split that the images come from."""
        return self._split

    @property
    def candidates(self) -> Tensor:
        """(M,) int64 rows of the source not known to be unreadable; unlike `source_indices`, decodes nothing."""
        return self._candidates

    @property
    def unreadable(self) -> set[int]:
        """Rows of the source that were found to be unreadable so far."""
        return self._split.unreadable

    @property
    def pixels(self) -> Tensor | None:
        """(N, C, H, W) uint8 on the CPU, or None for a split that stays on disk.

        Raises:
            MisuseError: no image of the split can be read.
        """
        fits = len(self._candidates) * self._format.bytes_per_image <= self._resident_bytes
        if self._pixels is None and fits:
            self._decode()
        return self._pixels

    @property
    def source_indices(self) -> Tensor:
        """(N,) int64: the row of the source split that each image comes from."""
        _ = self.pixels  # unreadable rows are known, and left out, only once the split is decoded
        return self._candidates

    @property
    def labels(self) -> Tensor | None:
        """(N,) int64 class indices, -1 where an image has none; None when no image has one. For evaluation only."""
        rows = self.source_indices
        return None if self._split.labels is None else self._split.labels[rows]

    def __len__(self) -> int:
        return len(self.source_indices)

    def __getitem__(self, index: int) -> Tensor:
        """(C, H, W) uint8. On disk, an unreadable image is replaced by the next readable one of the split."""
        if (pixels := self.pixels) is not None:
            return pixels[index]
        if not -len(self._candidates) <= index < len(self._candidates):
            raise IndexError(f"image {index} of {len(self._candidates)}")
        for offset in range(len(self._candidates)):
            row = int(self._candidates[(index + offset) % len(self._candidates)])
            if row in self._split.unreadable:
                continue
            try:
                return torch.tensor(decode(self._split.rows.read(row), self._format))
            except UnreadableImageError as error:
                self._split.unreadable.add(row)
                _logger.warning("%s cannot be read (%s): the next image takes its place", self._name(row), error)
        first = self._name(int(self._candidates[0]))
        raise MisuseError(f"none of the {len(self._candidates)} images can be read, first {first}: replace them")

    def gather(self, positions: Tensor | None = None) -> Tensor:
        """(K, C, H, W) uint8 on the CPU: the images at ``positions`` (K,), or all of them."""
        if (pixels := self.pixels) is not None:
            return pixels if positions is None else pixels[positions]
        positions = torch.arange(len(self)) if positions is None else positions
        return torch.stack([self[position] for position in positions.tolist()])

    def subset(self, positions: Tensor) -> "Images":
        """The images at ``positions`` (K,) of `candidates`; already decoded pixels are reused."""
        part = Images(self._split, self._candidates[positions], self._format, self._resident_bytes)
        if self._pixels is not None:
            part._pixels = self._pixels[positions]
        return part

    def of_rows(self, rows: Tensor) -> "Images":
        """The images in ``rows`` (K,) of the source, whether or not they are among these."""
        return Images(self._split, rows, self._format, self._resident_bytes)

    def _name(self, row: int) -> str:
        return self._split.rows.name(row)

    def _decode(self) -> None:
        rows = self._candidates.tolist()
        needed = len(rows) * self._format.bytes_per_image
        check_fits(needed, f"{len(rows):,} decoded images", "lower --data.resident_gib, and they are read as needed")
        pixels = np.empty((len(rows), *self._format.shape), dtype=np.uint8)
        reasons = _decode_rows(self._split, rows, self._format, pixels)
        if not reasons:
            self._pixels = torch.from_numpy(pixels)
            return
        first = min(reasons)
        where = f"{self._name(rows[first])} ({reasons[first]})"
        told = f"{len(reasons):,} of {len(rows):,} images cannot be read, first {where}"
        if len(reasons) == len(rows):
            raise MisuseError(f"{told}: replace them with readable images")
        if rank() == 0:
            _logger.warning("%s: they are left out", told)
        self._split.unreadable.update(rows[position] for position in reasons)
        readable = torch.tensor([position for position in range(len(rows)) if position not in reasons])
        self._pixels = torch.from_numpy(pixels)[readable]
        self._candidates = self._candidates[readable]


def _decode_rows(split: SourceSplit, rows: list[int], pixel_format: PixelFormat, out: np.ndarray) -> dict[int, str]:
    """Decode ``rows`` into ``out`` (N, C, H, W); returns the reason by position for those that cannot be read."""
    reasons: dict[int, str] = {}

    def decode_from(start: int) -> int:
        positions = range(start, min(start + _ROWS_PER_TASK, len(rows)))
        for position in positions:
            try:
                out[position] = decode(split.rows.read(rows[position]), pixel_format)
            except UnreadableImageError as error:
                reasons[position] = str(error)
        return len(positions)

    with no_pillow_warnings(), ThreadPoolExecutor(_threads(split, rows[0])) as pool:
        # Shown only when it takes longer than a moment, by one process.
        hidden = True if rank() != 0 else None
        with tqdm(total=len(rows), desc="decoding images", delay=3, disable=hidden, leave=False) as progress:
            for count in pool.map(decode_from, range(0, len(rows), _ROWS_PER_TASK)):
                progress.update(count)
    return reasons


def _threads(split: SourceSplit, row: int) -> int:
    """How many threads decode images like this one fastest."""
    try:
        tiny = is_tiny(split.rows.read(row))
    except UnreadableImageError:
        tiny = False
    return 1 if tiny else min(os.cpu_count() or 1, _MOST_THREADS)


@dataclass
class RealData:
    """The real images of one run.

    Attributes:
        train: what training reads, after ``limit``.
        validation: for choices made along the way.
        test: touched once, at the end.
        labelled: the labelled images of the whole training split, before ``limit``; the whole split where there are no
            labels. For evaluation only.
        classes: class names by label, None without labels.
        channels: 1 for greyscale, 3 for RGB.
        source: the source as it was given.
        source_splits: the source's own splits, behind the images.
    """

    train: Images
    validation: Images
    test: Images
    labelled: Images
    classes: list[str] | None
    channels: int
    source: str
    source_splits: Sequence[SourceSplit] = field(repr=False, default=())

    @property
    def skipped(self) -> int:
        """Images that could not be read, among those read so far: validation and test may be decoded on first use."""
        return sum(len(split.unreadable) for split in self.source_splits)
