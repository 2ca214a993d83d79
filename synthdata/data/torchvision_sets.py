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
from synthdata.paths import user_path

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
    root = user_path(config.root, "data.root")
    opened = {
        split: _download(getattr(datasets, argument), root, **arguments)
        for split, arguments in _ARGUMENTS[argument].items()
    }
    splits = {split: _split(dataset, argument, split, root) for split, dataset in opened.items()}
    classes = getattr(opened["train"], "classes", None) or [str(digit) for digit in range(10)]  # SVHN names none
    return Source(splits, list(classes))


def _download(dataset_class: Callable[..., Any], root: Path, **arguments: Any) -> Any:
    name = getattr(dataset_class, "__name__", "")
    try:
        root.mkdir(parents=True, exist_ok=True)
        return dataset_class(str(root), download=True, **arguments)
    except (OSError, RuntimeError) as error:
        raise FailureError(
            f"torchvision:{name} cannot be downloaded to {root} ({error}): check the network, or put its files there"
        ) from error
    except Exception as error:  # its readers raise almost any type on files that are something else
        raise _damaged(name, root, error) from error


def _split(dataset: Any, name: str, split: str, root: Path) -> SourceSplit:
    labels = np.asarray(dataset.targets if hasattr(dataset, "targets") else dataset.labels)
    try:
        pixels = np.asarray(dataset.data)
        if pixels.ndim == 4 and pixels.shape[1] == 3:  # STL10 and SVHN store channels first
            pixels = pixels.transpose(0, 2, 3, 1)
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.size == 0 or len(pixels) != len(labels):
            raise ValueError(f"{pixels.dtype} images {pixels.shape} and {len(labels)} labels in {split}")
        return SourceSplit(ArrayRows(pixels, f"{name} {split}"), torch.as_tensor(labels).long())
    except (TypeError, ValueError) as error:
        raise _damaged(name, root, error) from error


def _damaged(name: str, root: Path, error: Exception) -> FailureError:
    reason = str(error) or type(error).__name__
    return FailureError(
        f"the files of torchvision:{name} in {root} are damaged ({reason}): remove them, and they are downloaded again"
    )
