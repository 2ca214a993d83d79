"""Emitted datasets in: rows of any kind, as two images each."""

import logging
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from synthdata.data.config import OnCorrupt
from synthdata.data.dataset_files import DatasetFiles, MissingFileError, ShardFile
from synthdata.data.decode import PixelFormat, UnreadableImageError, decode_exact, is_greyscale, is_tiny, shorter_side
from synthdata.data.open_shards import DamagedShardError, OpenShard, open_shard
from synthdata.data.sampling import SHARDS_MIXED, epoch_order
from synthdata.errors import FailureError, MisuseError
from synthdata.memory import check_fits
from synthdata.paths import PathText
from synthdata.processes import rank
from synthdata.ranges import NonNegativeFloat

_logger = logging.getLogger(__name__)
_MOST_THREADS = SHARDS_MIXED  # each has a shard open

Kinds = Literal["all", "hard", "pairs", "replay"]


@dataclass(frozen=True)
class PairsConfig:
    """An emitted dataset.

    Attributes:
        source: a dataset directory, one of an object store as s3://BUCKET/FOLDER, gs:// or az://, or a repository of
            the Hub as OWNER/NAME or hf://datasets/OWNER/NAME[@REVISION].
        kinds: which of its configs are read: "hard", "pairs", "replay", or "all" that it has.
        on_corrupt: what is done about a shard that is missing or not as the manifest records it: "refuse" the dataset,
            or "skip" the shard.
        resident_gib: a dataset whose decoded pixels take more memory than this is decoded as it is read, its shards
            fetched from the Hub as they are needed, in GiB; with 0 every one is.
    """

    source: PathText
    kinds: Kinds = "all"
    on_corrupt: OnCorrupt = "refuse"
    resident_gib: NonNegativeFloat = 4.0


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Rows of an emitted dataset: ``pairs[i]`` is ``(image_a, image_b)``, each (C, H, W) uint8.

    The two images of a positive pair, or the one image of a row of another kind twice: two views to be augmented, each
    on its own.
    With ``ShuffledRows`` it goes into a plain ``DataLoader``.

    Args:
        files: where the shards are.
        shards: those that are read.
        pixel_format: of all images; others are refused.
        skip_corrupt: whether damaged shards are left out. Where shards are read as they are needed, the rows of the
            next intact shard take their places.
    """

    def __init__(
        self, files: DatasetFiles, shards: Sequence[ShardFile], pixel_format: PixelFormat, skip_corrupt: bool = False
    ) -> None:
        self._files, self._shards, self._format = files, list(shards), pixel_format
        self._skip_corrupt = skip_corrupt
        self._bounds = [0, *accumulate(shard.rows for shard in shards)]
        self._open: dict[int, OpenShard] = {}
        self._places: Tensor | None = None
        self._pixels: Tensor | None = None
        self.damaged: set[str] = set()
        """Paths of the shards found to be damaged so far, which are skipped."""

    @property
    def channels(self) -> int:
        """1 for greyscale, 3 for RGB."""
        return self._format.channels

    @property
    def image_size(self) -> int:
        """Side of the square images in pixels."""
        return self._format.image_size

    @property
    def shard_rows(self) -> list[int]:
        """Number of rows of each shard, in order."""
        return [shard.rows for shard in self._shards]

    @property
    def resident(self) -> tuple[Tensor, Tensor] | None:
        """(M, C, H, W) uint8 pixels and (N, 2) int64 places of each row's two images in them; None when streaming."""
        if self._pixels is None or self._places is None:
            return None
        return self._pixels, self._places

    def __len__(self) -> int:
        return self._bounds[-1]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(C, H, W) uint8 of both images.

        Raises:
            FailureError: the row's shard is damaged and is not to be skipped.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        if (resident := self.resident) is not None:
            pixels, places = resident
            return pixels[places[index, 0]], pixels[places[index, 1]]
        images = [torch.tensor(image) for image in self._decode(*self._intact(index))]
        return images[0], images[-1]

    def first_image(self) -> bytes:
        """The first image of the first intact shard, encoded."""
        number, row = self._intact(0)
        opened = self._opened(number)
        assert opened is not None
        return opened.encoded(row)[0]

    def load(self) -> None:
        """Decode all rows into memory. Damaged shards that may be skipped are no longer among ``shard_rows``."""
        bounds = [0, *accumulate(shard.rows * _images_per_row(shard) for shard in self._shards)]
        needed = bounds[-1] * self._format.bytes_per_image
        check_fits(needed, f"{self._files.source}, decoded,", "lower its resident_gib, and it is read as needed")
        pixels = np.empty((bounds[-1], *self._format.shape), np.uint8)

        def load_shard(number: int) -> Tensor | None:
            """Fill in the pixels of one shard; (rows, 2) places of its images, None if it is damaged."""
            if self._opened(number) is None:
                return None
            rows, each = self._shards[number].rows, _images_per_row(self._shards[number])
            for row in range(rows):
                first = bounds[number] + row * each
                for offset, image in enumerate(self._decode(number, row)):
                    pixels[first + offset] = image
            self._open.pop(number, None)
            firsts = bounds[number] + torch.arange(rows) * each
            return torch.stack([firsts, firsts + each - 1], 1)

        # threads that decode tiny images mostly wait for each other
        threads = 1 if is_tiny(self.first_image()) else min(os.cpu_count() or 1, _MOST_THREADS)
        with ThreadPoolExecutor(threads) as pool:
            places = list(pool.map(load_shard, range(len(self._shards))))
        intact = [found for found in places if found is not None]
        self._shards = [shard for shard, found in zip(self._shards, places, strict=True) if found is not None]
        self._bounds = [0, *accumulate(self.shard_rows)]
        self._pixels, self._places = torch.from_numpy(pixels), torch.cat(intact)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_open": {}}  # a worker process opens the shards for itself

    def _intact(self, index: int) -> tuple[int, int]:
        """Shard and row of ``index``, in the next intact shard if its own is skipped."""
        own = bisect_right(self._bounds, index) - 1
        for offset in range(len(self._shards)):
            number = (own + offset) % len(self._shards)
            if self._opened(number) is not None:
                return number, (index - self._bounds[own]) % self._shards[number].rows
        raise FailureError(f"every shard of {self._files.source} is damaged: fetch or emit the dataset again")

    def _opened(self, number: int) -> OpenShard | None:
        """The open shard; None if it is damaged and skipped."""
        shard = self._shards[number]
        if shard.path in self.damaged:
            return None
        if number not in self._open:
            try:
                opened = open_shard(self._files.fetch(shard.path), shard.sha256, shard.rows)
            except (MissingFileError, DamagedShardError) as error:
                if not self._skip_corrupt:
                    raise FailureError(
                        f"shard {shard.path} of {self._files.source} is damaged ({error}): fetch or emit it again, or "
                        f"leave its {shard.rows} rows out with --on_corrupt skip"
                    ) from error
                self.tell_damaged({shard.path})
                return None
            while len(self._open) >= 2 * SHARDS_MIXED:
                self._open.pop(next(iter(self._open)))
            self._open[number] = opened
        return self._open[number]

    def tell_damaged(self, paths: set[str]) -> None:
        """Count shards as damaged, with a warning for each that is new, once over all processes of a run."""
        for path in sorted(paths - self.damaged):
            if rank() == 0 and torch.utils.data.get_worker_info() is None:
                _logger.warning("shard %s of %s is damaged: it is skipped", path, self._files.source)
        self.damaged |= paths

    def _decode(self, number: int, row: int) -> list[np.ndarray]:
        opened, shard = self._opened(number), self._shards[number]
        assert opened is not None
        encoded, expected = opened.encoded(row), _images_per_row(shard)
        try:
            if len(encoded) != expected:
                raise UnreadableImageError(f"{len(encoded)} images, not {expected}")
            return [decode_exact(image, self._format) for image in encoded]
        except UnreadableImageError as error:
            raise MisuseError(f"row {row} of shard {shard.path} of {self._files.source}: {error}") from error


class ShuffledRows(Sampler[int]):
    """One process's rows of one epoch, shuffled: every row goes to exactly one process, none twice.

    The order is a function of (seed, epoch), so a loader is put back to any place of the epoch without any state::

        rows = ShuffledRows(pairs, seed=0, epoch=3, start=12_800)  # after 200 batches of 64
        loader = DataLoader(pairs, batch_size=64, sampler=rows, num_workers=2)

    Args:
        pairs: the rows.
        seed: of the order.
        epoch: from 0.
        start: rows of the epoch that all processes together have already read.
        rank: this process, in [0, world_size).
        world_size: number of processes; the numbers of their rows differ by at most one.
    """

    def __init__(
        self, pairs: Pairs, seed: int = 0, epoch: int = 0, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self._rows = epoch_order(pairs.shard_rows, seed, epoch)[start:][rank::world_size]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows.tolist())


def load_pairs(config: PairsConfig, image_size: int | None = None, channels: int | None = None) -> Pairs:
    """Open an emitted dataset, and decode it into memory if it fits.

    Args:
        config: the dataset.
        image_size: that its images must have, in pixels; that of its first image if not given.
        channels: that they are brought to, 1 or 3; as its first image if not given.

    Raises:
        MisuseError: the dataset cannot be found, lacks the configs asked for, or has images of another size.
        FailureError: a shard is damaged, or the Hub does not answer.
    """
    files = DatasetFiles.of(config.source)
    shards = files.shards()
    kinds = sorted({shard.kind for shard in shards})
    if config.kinds not in ("all", *kinds):
        raise MisuseError(f"{config.source} has no config {config.kinds}, only {', '.join(kinds)}: ask for that")
    asked = [shard for shard in shards if config.kinds in ("all", shard.kind)]
    skip = config.on_corrupt == "skip"
    first = Pairs(files, asked, PixelFormat(1, 1), skip).first_image()
    size, grey = shorter_side(first), is_greyscale(first)
    if image_size not in (None, size):
        raise MisuseError(
            f"{config.source} has images of {size} px, not {image_size}: set --data.image_size {size}, or emit others"
        )
    pairs = Pairs(files, asked, PixelFormat(channels or (1 if grey else 3), size), skip)
    needed = sum(shard.rows * _images_per_row(shard) for shard in asked) * pairs._format.bytes_per_image
    if needed <= config.resident_gib * 2**30:
        pairs.load()
    return pairs


def _images_per_row(shard: ShardFile) -> int:
    return 2 if shard.kind == "pairs" else 1
