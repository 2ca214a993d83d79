"""From a source's name to its images: open the source, divide it, decode what training needs."""

import logging
from collections.abc import Callable
from difflib import get_close_matches

import torch
from torch import Tensor

from synthdata.data.config import DataConfig
from synthdata.data.decode import PixelFormat, UnreadableImageError, is_greyscale, no_pillow_warnings, shorter_side
from synthdata.data.images import Images, RealData
from synthdata.data.source import Source
from synthdata.data.splits import divide
from synthdata.errors import MisuseError
from synthdata.memory import check_fits
from synthdata.paths import user_path
from synthdata.processes import rank
from synthdata.ranges import check_ranges

_logger = logging.getLogger(__name__)

_PREFIXES = ("digits", "imagefolder", "hf", "parquet", "wds", "torchvision")
_KNOWN = "digits, imagefolder:PATH, hf:REPO_OR_DIR[:CONFIG], parquet:PATH, wds:GLOB, torchvision:NAME"

_DECODED_BEFORE_DIVIDING = 20_000
"""Sources up to this many images are decoded before they are divided, so that a damaged image never empties a split.
Of larger ones, and with a limit, only what is used is decoded, so that a run on few images does not wait for all."""

_HEADERS_LOOKED_AT = 20_000
"""Colour or greyscale is told from all image headers, in larger sources from about this many evenly spaced ones."""


_SIZES = (16, 32, 64, 128)
"""Image sizes that every encoder and generator takes, in pixels."""


def load_images(config: DataConfig) -> RealData:
    """Open a data source and divide it into training, validation and test images.

    A source's own validation and test splits are used; what it lacks is carved out of its training images, a tenth each
    (validation at most 5,000), by a fixed permutation. Labels come along for evaluation alone.

    Raises:
        MisuseError: the source is unknown, missing, empty, unreadable or too small.
        FailureError: a download or a read failed.
    """
    check_ranges(config, "data.")
    source = open_source(config)
    with no_pillow_warnings():
        channels = config.channels or _channels(source, config.source)
        pixel_format = PixelFormat(channels, config.image_size or _native_size(source))
    size = pixel_format.image_size
    check_fits(pixel_format.bytes_per_image, f"one image of {size:,} x {size:,} px", "lower --data.image_size")
    resident_bytes = int(config.resident_gib * 2**30)
    wholes = {
        name: Images(split, torch.arange(len(split.rows)), pixel_format, resident_bytes)
        for name, split in source.splits.items()
    }
    rows = sum(len(split.rows) for split in source.splits.values())
    if config.limit is None and rows <= _DECODED_BEFORE_DIVIDING:
        for whole in wholes.values():
            _ = whole.pixels
    labels = source.splits["train"].labels
    labels = None if labels is None else labels[wholes["train"].candidates]
    own = {name for name, split in source.splits.items() if labels is None or split.labels is not None} - {"train"}
    _tell_unused(source, own, config.source)
    division = divide(len(wholes["train"].candidates), labels, own, config.source)
    labelled = division.train if labels is None else division.train[labels[division.train] >= 0]
    excluded = _excluded(config, len(source.splits["train"].rows))

    def carve(positions: Tensor) -> Images:
        return _without(wholes["train"].subset(positions), excluded)

    train = _without(_first(wholes["train"], division.train, config.limit), excluded)
    if not len(train.candidates):
        raise MisuseError(f"data.exclude leaves no training image of {config.source}: leave out fewer")
    return RealData(
        train=train,
        validation=wholes["validation"] if division.validation is None else carve(division.validation),
        test=wholes["test"] if division.test is None else carve(division.test),
        labelled=train if torch.equal(labelled, division.train[: config.limit]) else carve(labelled),
        classes=source.classes,
        channels=pixel_format.channels,
        source=config.source,
        source_splits=list(source.splits.values()),
    )


def _first(whole: Images, order: Tensor, limit: int | None) -> Images:
    """The first ``limit`` readable images in ``order``, decoded: bad input is told before training, not during it."""
    while True:
        images = whole.subset(order[:limit])
        if images.pixels is None or limit is None or len(images) == len(order[:limit]):
            return images
        readable = ~torch.isin(whole.candidates[order], torch.tensor(sorted(whole.unreadable)))
        order = order[readable]


def _excluded(config: DataConfig, rows: int) -> Tensor:
    """The rows that ``config`` leaves out.

    Raises:
        MisuseError: the source has no such row.
    """
    excluded = config.exclude or []
    if excluded and max(excluded) >= rows:
        raise MisuseError(f"data.exclude names row {max(excluded)}: {config.source} has {rows:,} training rows, from 0")
    return torch.tensor(excluded, dtype=torch.long)


def _without(images: Images, rows: Tensor) -> Images:
    kept = ~torch.isin(images.candidates, rows)
    return images if kept.all() else images.subset(kept.nonzero()[:, 0])


def _tell_unused(source: Source, own: set[str], name: str) -> None:
    if (unused := source.splits.keys() - own - {"train"}) and rank() == 0:
        told = f"its {' and '.join(sorted(unused))} images have no labels: they are left out, and others"
        _logger.warning("%s: %s of its training images held out", name, told)


def open_source(config: DataConfig) -> Source:
    """The source that ``config.source`` names, undecoded.

    Raises:
        MisuseError: the name has no known prefix, or what it names cannot be used.
    """
    prefix, _, argument = config.source.partition(":")
    if prefix not in _PREFIXES:
        near = get_close_matches(prefix, _PREFIXES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        if not near and config.source and user_path(config.source, "data.source").exists():
            hint = f"; did you mean imagefolder:{config.source}?"
        raise MisuseError(f"data.source {config.source} is of no known kind{hint} (known: {_KNOWN})")
    source = _opener(prefix)(argument, config)
    if "train" not in source.splits:
        raise MisuseError(f"{config.source} holds no training images: choose a source that does")
    return source


def _opener(prefix: str) -> Callable[[str, DataConfig], Source]:
    """Imports only what the source needs: the libraries behind some take seconds, which every worker would spend."""
    match prefix:
        case "digits":
            from synthdata.data.digits import open_digits as opener
        case "imagefolder":
            from synthdata.data.folders import open_folder as opener
        case "hf":
            from synthdata.data.hub import open_hf as opener
        case "parquet":
            from synthdata.data.hub import open_parquet as opener
        case "wds":
            from synthdata.data.shards import open_shards as opener
        case _:
            from synthdata.data.torchvision_sets import open_torchvision as opener
    return opener


def _channels(source: Source, name: str) -> int:
    """1 when every readable image is greyscale, else 3; stops at the first image in colour."""
    splits = source.splits.values()
    step = max(1, sum(len(split.rows) for split in splits) // _HEADERS_LOOKED_AT)
    places = [(split, row) for split in splits for row in range(0, len(split.rows), step)]
    readable = False
    for split, row in places:
        try:
            if not is_greyscale(split.rows.read(row)):
                return 3
            readable = True
        except UnreadableImageError:
            continue
    if not readable:
        split, row = places[0]
        raise MisuseError(
            f"none of the images of {name} can be read, first {split.rows.name(row)}: give readable images"
        )
    return 1


def _native_size(source: Source) -> int:
    """The smallest of ``_SIZES`` that holds the first readable training image, or the largest of them."""
    rows = source.splits["train"].rows
    for row in range(len(rows)):
        try:
            side = shorter_side(rows.read(row))
        except UnreadableImageError:
            continue
        return next((size for size in _SIZES if size >= side), _SIZES[-1])
    return _SIZES[0]
