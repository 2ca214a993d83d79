"""The small standard datasets, downloaded as torchvision does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import datasets

from synthdata.data.config import DataConfig
from synthdata.data.source import ArrayRows, Source, SourceSplit
from synthdata.errors import FailureError, MisuseError

# STL10's unlabelled images belong to training; they carry the label -1.
_ARGUMENTS: dict[str, dict[str, dict[str, Any]]] = {
    "CIFAR10": {"train": {"train": True}, "test": {"train": False}},
    "CIFAR100": {"train": {"train": True}, "test": {"train": False}},
    "STL10": {"train": {"split": "train+unlabeled"}, "test": {"split": "test"}},
    "SVHN": {"train": {"split": "train"}, "test": {"split": "test"}},
    "FashionMNIST": {"train": {"train": True}, "test": {"train": False}},
}


def open_torchvision(argument: str, config: DataConfig) -> Source:
    """One of CIFAR10, CIFAR100, STL10, SVHN and FashionMNIST, kept in ``config.root``."""
    if argument not in _ARGUMENTS:
        raise MisuseError(f"torchvision:{argument} is not supported: choose one of {', '.join(_ARGUMENTS)}")
    root = Path(config.root).expanduser()
    opened = {
        split: _download(getattr(datasets, argument), root, **arguments)
        for split, arguments in _ARGUMENTS[argument].items()
    }
    splits = {split: _split(dataset, f"{argument} {split}") for split, dataset in opened.items()}
    classes = getattr(opened["train"], "classes", None) or [str(digit) for digit in range(10)]  # SVHN names none
    return Source(splits, list(classes))


def _download(dataset_class: Callable[..., Any], root: Path, **arguments: Any) -> Any:
    try:
        root.mkdir(parents=True, exist_ok=True)
        return dataset_class(str(root), download=True, **arguments)
    except (OSError, RuntimeError) as error:
        name = getattr(dataset_class, "__name__", "")
        raise FailureError(
            f"torchvision:{name} cannot be downloaded to {root} ({error}): check the network, or put its files there"
        ) from error


def _split(dataset: Any, name: str) -> SourceSplit:
    pixels = np.asarray(dataset.data)
    if pixels.ndim == 4 and pixels.shape[1] == 3:  # STL10 and SVHN store channels first
        pixels = pixels.transpose(0, 2, 3, 1)
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return SourceSplit(ArrayRows(pixels, name), torch.as_tensor(np.asarray(labels)).long())
