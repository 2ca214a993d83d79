"""Labelled images of the form that an encoder takes."""

from dataclasses import replace
from typing import Literal

from synthdata.data import DataConfig, RealData, load_images
from synthdata.errors import MisuseError
from synthdata.models import Encoder


def load_labelled(encoder: Encoder, config: DataConfig) -> RealData:
    """Open a source of labelled images at the encoder's image size.

    Raises:
        MisuseError: as ``load_images``; or the images have no labels, labels of a single class, or another number of
            channels than the encoder takes.
    """
    data = load_images(replace(config, image_size=encoder.image_size))
    check_labels(data)
    if data.channels != encoder.channels:
        raise MisuseError(
            f"the encoder takes images of {encoder.channels} channel(s) and {config.source} has {data.channels}:"
            f" convert them with --data.channels {encoder.channels}"
        )
    return data


def check_labels(data: RealData) -> None:
    """Raise ``MisuseError`` for images without labels, or with labels of a single class."""
    if data.classes is None:
        raise MisuseError(f"{data.source} has no labels: scoring an encoder needs them")
    if len(data.classes) < 2:
        raise MisuseError(f"all labels of {data.source} are {data.classes[0]}: scoring an encoder needs two classes")


def load_transfer(encoder: Encoder, source: str, config: DataConfig) -> RealData:
    """Open another source for an encoder, converted to greyscale or RGB as the encoder takes it.

    Args:
        source: of the labelled images; the other settings are those of ``config``, except the columns, which are found.

    Raises:
        MisuseError: as ``load_labelled``.
    """
    channels: Literal[1, 3] = 1 if encoder.channels == 1 else 3
    adapted = replace(config, source=source, channels=channels, limit=None, image_column=None, label_column=None)
    return load_labelled(encoder, adapted)
