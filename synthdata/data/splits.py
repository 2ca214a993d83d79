"""Which rows of a source are for training, for validation and for testing: fixed, and alike on every machine."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.rng import generator_at

MOST_VALIDATION_IMAGES = 5000
"""A carved validation split is a tenth of the training images, at most this many."""


@dataclass(frozen=True)
class Division:
    """(K,) int64 positions in a source's training split; None for a split that the source has of its own."""

    train: Tensor
    validation: Tensor | None
    test: Tensor | None


def divide(length: int, labels: Tensor | None, own: Collection[str], source: str) -> Division:
    """Carve the splits that a source lacks out of its training images, by one fixed permutation.

    The training part keeps the order of the permutation, so that its first N images are a random sample. Where only
    some images are labelled, validation and test images are taken among those.

    Args:
        length: number of training images of the source.
        labels: (length,) int64, negative where an image has no label; None without labels.
        own: which of ``validation`` and ``test`` the source has of its own.
        source: for the error message.

    Raises:
        MisuseError: too few images to give every split one.
    """
    order = torch.randperm(length, generator=generator_at(0, "split"))
    labelled = order if labels is None else order[labels[order] >= 0]
    sizes = {
        "test": 0 if "test" in own else max(1, len(labelled) // 10),
        "validation": 0 if "validation" in own else max(1, min(len(labelled) // 10, MOST_VALIDATION_IMAGES)),
    }
    held_out = sum(sizes.values())
    if len(labelled) < held_out or length < held_out + 1:
        kind = "readable" if labels is None else "readable labelled"
        raise MisuseError(
            f"{source} has {len(labelled)} {kind} training image(s): too few to give training, validation and test one "
            "each; add images"
        )
    test, validation = labelled[: sizes["test"]], labelled[sizes["test"] : held_out]
    train = order[~torch.isin(order, labelled[:held_out])]
    return Division(train, None if "validation" in own else validation, None if "test" in own else test)
