"""Which images a run reads, and how they are brought to one size."""

from dataclasses import dataclass

from synthdata.errors import MisuseError


@dataclass(frozen=True)
class DataConfig:
    """Real images.

    Attributes:
        source: ``digits``, ``imagefolder:PATH``, ``hf:REPO_OR_DIR[:CONFIG]``, ``parquet:PATH``, ``wds:GLOB`` or
            ``torchvision:NAME`` (CIFAR10, CIFAR100, STL10, SVHN, FashionMNIST).
        image_size: side of the square images in pixels; other sizes are resized and centre-cropped. If not given, the
            smallest of 16, 32, 64 and 128 that holds the first image.
        limit: train on the first N training images only; all of them when not given.
        image_column: the column (Parquet, Hugging Face) or file suffix (WebDataset) that holds the image; found by type
            when not given.
        label_column: the column or JSON field that holds the label; found by type when not given.
        root: the folder that ``torchvision:NAME`` downloads to.
        resident_gib: a split whose decoded pixels take more memory than this stays on disk and is streamed, in GiB.
        workers: processes that decode images that stay on disk.
    """

    source: str = "digits"
    image_size: int | None = None
    limit: int | None = None
    image_column: str | None = None
    label_column: str | None = None
    root: str = "~/.cache/synthdata/torchvision"
    resident_gib: float = 4.0
    workers: int = 2


def check_config(config: DataConfig) -> None:
    """Raise ``MisuseError`` for a number that is out of its range."""
    if config.image_size is not None and config.image_size < 1:
        raise MisuseError(f"data.image_size is {config.image_size}: give a positive number of pixels")
    if config.limit is not None and config.limit < 1:
        raise MisuseError(f"data.limit is {config.limit}: give a positive number of images, or leave it out for all")
    if config.resident_gib < 0:
        raise MisuseError(f"data.resident_gib is {config.resident_gib}: give 0 (always stream) or more")
    if config.workers < 0:
        raise MisuseError(f"data.workers is {config.workers}: give 0 (decode in the training process) or more")
