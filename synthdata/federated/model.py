"""The classifier that is learned: an encoder, and a last layer that grows with the classes."""

import copy

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from synthdata.federated.config import FederatedConfig
from synthdata.models import LinearClassifier
from synthdata.training.execution import build_encoder


def new_model(config: FederatedConfig, image_size: int, channels: int, classes: int) -> LinearClassifier:
    """A classifier that has learned nothing, with the weights of the seed."""
    with torch.random.fork_rng():
        set_seed(config.seed)
        return LinearClassifier(build_encoder(config.encoder, image_size, channels), classes)


def last_layer(model: LinearClassifier) -> nn.Linear:
    """The layer with a row for every class."""
    assert isinstance(model.head, nn.Linear)
    return model.head


def grow_head(model: LinearClassifier, classes: int) -> None:
    """Give a classifier rows for new classes, all zero; those that it has stay as they are.

    Args:
        classes: number of classes after it.
    """
    old = last_layer(model)
    head = nn.Linear(old.in_features, classes, device=old.weight.device)
    with torch.no_grad():
        for grown, known in ((head.weight, old.weight), (head.bias, old.bias)):
            grown.zero_()
            grown[: old.out_features] = known
    model.head = head


def frozen_copy(model: LinearClassifier) -> LinearClassifier:
    """A copy that does not learn, in evaluation mode."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def with_weights(like: LinearClassifier, weights: dict[str, Tensor]) -> LinearClassifier:
    """A classifier as ``like``, with saved weights, which say how many classes it has."""
    model = copy.deepcopy(like)
    old = last_layer(like)
    model.head = nn.Linear(old.in_features, len(weights["head.bias"]), device=old.weight.device)
    model.load_state_dict(weights)
    return model
