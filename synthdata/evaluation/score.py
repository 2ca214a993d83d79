"""All scores of one encoder on one source of labelled images."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from synthdata.data import Images, RealData
from synthdata.errors import FailureError, MisuseError
from synthdata.evaluation.features import extract_features
from synthdata.evaluation.probe import Split, knn_top1, label_subset, linear_probe
from synthdata.models import Encoder

# Low-label accuracy varies with the labels drawn far more than with the encoder: average it over draws.
DRAWS = 5


def score_encoder(
    encoder: Encoder,
    data: RealData,
    device: torch.device,
    limit: int = 10_000,
    label_budgets: list[int] | None = None,
    score_test: bool = True,
) -> dict[str, float]:
    """Linear, low-label and k-NN accuracy of frozen features: the means of `score_draws`, rounded to 0.01."""
    return _means(score_draws(encoder, data, device, limit, label_budgets, score_test))


def scores_and_draws(
    encoder: Encoder, data: RealData, device: torch.device, limit: int, label_budgets: list[int], score_test: bool
) -> dict[str, Any]:
    """As ``score_encoder``, and as ``draws`` the values, rounded to 0.01, behind each mean of several."""
    scores = score_draws(encoder, data, device, limit, label_budgets, score_test)
    several = {name: [round(value, 2) for value in values] for name, values in scores.items() if len(values) > 1}
    return _means(scores) | ({"draws": several} if several else {})


def _means(scores: dict[str, list[float]]) -> dict[str, float]:
    return {name: round(sum(values) / len(values), 2) for name, values in scores.items()}


def score_draws(
    encoder: Encoder,
    data: RealData,
    device: torch.device,
    limit: int = 10_000,
    label_budgets: list[int] | None = None,
    score_test: bool = True,
    draws: int = DRAWS,
) -> dict[str, list[float]]:
    """Linear, low-label and k-NN accuracy of frozen features.

    Args:
        limit: the most labelled images that probe and k-NN see.
        label_budgets: numbers of labels for the low-label probes, which are smaller than ``limit`` and the data.
        score_test: also score the test split, which the choice of regularisation never sees.
        draws: stratified draws of the labels of each low-label probe.

    Returns:
        Top-1 accuracies in percent: ``linear_top1`` and ``knn_top1``, one value, ``linear_<n>_labels_top1``, one value
        for each draw, on the test split; and the same with the prefix ``validation_`` on the validation split. Empty
        for data without labels, or with labels of a single class.

    Raises:
        FailureError: the features are not finite.
    """
    if data.classes is None:
        return {}
    train = labelled_features(encoder, data.labelled, device, limit)
    if len(train[1].unique()) < 2:
        return {}
    validation = labelled_features(encoder, data.validation, device)
    test = labelled_features(encoder, data.test, device) if score_test else None
    scores: dict[str, list[float]] = {}
    for name, accuracy in linear_probe(train, validation, test).items():
        scores[score_name(name, "linear_top1")] = [100 * accuracy]
    for name, split in (("validation", validation), ("test", test)):
        if split is not None:
            scores[score_name(name, "knn_top1")] = [100 * knn_top1(train, split)]
    for budget in label_budgets or []:
        if budget >= len(train[1]):
            continue
        subsets = [label_subset(train[1], budget, draw) for draw in range(draws)]
        drawn = [linear_probe((train[0][subset], train[1][subset]), validation, test) for subset in subsets]
        for name in drawn[0]:
            scores[score_name(name, f"linear_{budget}_labels_top1")] = [100 * probe[name] for probe in drawn]
    return scores


def score_name(split: str, name: str) -> str:
    """The key of a score on ``split``: plain on the test split, with the split as prefix otherwise."""
    return name if split == "test" else f"{split}_{name}"


def score_titles(budgets: Sequence[int]) -> dict[str, str]:
    """Headers of a table, by the name of the score on the test split.

    Args:
        budgets: numbers of labels of the low-label probes.
    """
    low = {f"linear_{budget}_labels_top1": f"{budget:,} labels" for budget in budgets}
    return {"linear_top1": "linear", "knn_top1": "k-NN"} | low


def label_budgets(data: RealData, shares: Sequence[float]) -> list[int]:
    """Numbers of labels that are ``shares`` of the labelled training images, at least one of each class."""
    assert data.classes is not None
    return [max(round(share * len(data.labelled)), len(data.classes)) for share in shares]


def check_budgets(budgets: Sequence[int], limit: int, setting: str) -> None:
    """Raise ``MisuseError`` for a low-label probe that would see as many images as the probe with all labels."""
    if budgets and max(budgets) >= limit:
        raise MisuseError(f"{setting} is {limit:,}, and a low-label probe needs {max(budgets):,} labels: raise it")


def labelled_features(encoder: Encoder, images: Images, device: torch.device, limit: int | None = None) -> Split:
    """Features (N, D) and labels (N,) of those of the first ``limit`` images that have a label, on the CPU."""
    features = extract_features(encoder, images, device, limit)
    if not features.isfinite().all():
        raise FailureError(
            "the loss is not finite: the encoder's features became infinite or NaN by its last step; lower "
            "train.learning_rate and start anew"
        )
    labels = images.labels
    assert isinstance(labels, Tensor)
    labels = labels[: len(features)]
    known = labels >= 0
    return features[known], labels[known]
