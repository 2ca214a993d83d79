"""Which images a run reads, and how they are brought to one size."""

from dataclasses import dataclass
from typing import Literal

from synthdata.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt

OnCorrupt = Literal["refuse", "skip"]


@dataclass(frozen=True)
class DataConfig:
    """Real images.

    Attributes:
        source: ``digits``, ``imagefolder:PATH``, ``hf:REPO_OR_DIR[:CONFIG]``, ``parquet:PATH``, ``wds:GLOB`` or
            ``torchvision:NAME`` (CIFAR10, CIFAR100, STL10, SVHN, FashionMNIST). PATH and GLOB may be those of
            an object store (s3, gs, az, hf): shards are then fetched whole, and images one by one as they are read.
        image_size: side of the square images in pixels; other sizes are resized and centre-cropped. If not given, the
            smallest of 16, 32, 64 and 128 that holds the first image.
        channels: 1 converts all images to greyscale, 3 to RGB. If not given, 1 when every image is greyscale, else 3.
        limit: train on the first N training images only; all of them when not given.
        exclude: rows of the source's training split that are not used at all, as if they were not there, but that no
            other image takes their place.
        image_column: the column (Parquet, Hugging Face) or file suffix (WebDataset) that holds the image; found by type
            when not given.
        label_column: the column or JSON field that holds the label; found by type when not given.
        on_corrupt: what is done about a WebDataset shard that is damaged or cut off: "refuse" the source, or "skip"
            what follows the damage.
        root: the folder that ``torchvision:NAME`` downloads to.
        resident_gib: a split whose decoded pixels take more memory than this stays on disk and is streamed, in GiB;
            with 0 every one does.
        workers: processes that decode images that stay on disk; with 0 the training process does.
    """

    source: str = "digits"
    image_size: PositiveInt | None = None
    channels: Literal[1, 3] | None = None
    limit: PositiveInt | None = None
    exclude: list[NonNegativeInt] | None = None
    image_column: str | None = None
    label_column: str | None = None
    on_corrupt: OnCorrupt = "refuse"
    root: str = "~/.cache/synthdata/torchvision"
    resident_gib: NonNegativeFloat = 4.0
    workers: NonNegativeInt = 2
