"""scikit-learn's handwritten digits: 1,797 real greyscale images of 8 x 8 pixels, in the package's dependencies."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import one_hot

from synthdata.data.config import DataConfig
from synthdata.data.source import ArrayRows, Source, SourceSplit
from synthdata.errors import MisuseError
from synthdata.rng import generator_at

HELD_OUT_IMAGES = 300
"""Images of the test split, and of the validation split; the other 1,197 are for training."""


def open_digits(argument: str, config: DataConfig) -> Source:
    """The digits, divided once and for all into 1,197 training, 300 validation and 300 test images."""
    if argument:
        raise MisuseError(f"data.source digits:{argument}: the built-in digits take no argument, write digits")
    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)  # stored values are 0..16
    labels = torch.from_numpy(digits.target).long()
    order = _class_balanced_order(labels)
    parts = {
        "test": order[:HELD_OUT_IMAGES],
        "validation": order[HELD_OUT_IMAGES : 2 * HELD_OUT_IMAGES],
        "train": order[2 * HELD_OUT_IMAGES :],
    }
    splits = {
        name: SourceSplit(ArrayRows(pixels[rows], f"digits {name}"), labels[rows]) for name, rows in parts.items()
    }
    return Source(splits, classes=[str(digit) for digit in digits.target_names])


def _class_balanced_order(labels: Tensor) -> Tensor:
    """A fixed permutation that takes the first image of each class, then the second of each, and so on."""
    order = torch.randperm(len(labels), generator=generator_at(0, "digits"))
    rank_in_class = one_hot(labels[order]).cumsum(0).gather(1, labels[order].unsqueeze(1)).squeeze(1)
    return order[rank_in_class.argsort(stable=True)]
