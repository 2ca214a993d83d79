"""All scores of one encoder on one source of labelled images."""

import torch
from torch import Tensor

from synthdata.data import Images, RealData
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
    """Linear, low-label and k-NN accuracy of frozen features.

    Args:
        limit: the most labelled images that probe and k-NN see.
        label_budgets: numbers of labels for the low-label probes, each averaged over ``DRAWS`` stratified draws.
        score_test: also score the test split, which the choice of regularisation never sees.

    Returns:
        Top-1 accuracies in percent, rounded to 0.01: ``linear_top1``, ``knn_top1``, ``linear_<n>_labels_top1`` on the
        test split, and the same with the prefix ``validation_`` on the validation split. Empty for data without labels,
        or with labels of a single class.
    """
    if data.classes is None:
        return {}
    train = _split(encoder, data.labelled, device, limit)
    if len(train[1].unique()) < 2:
        return {}
    validation = _split(encoder, data.validation, device)
    test = _split(encoder, data.test, device) if score_test else None
    scores = {}
    for name, accuracy in linear_probe(train, validation, test).items():
        scores[_key(name, "linear_top1")] = accuracy
    for name, split in (("validation", validation), ("test", test)):
        if split is not None:
            scores[_key(name, "knn_top1")] = knn_top1(train, split)
    for budget in label_budgets or []:
        if budget >= len(train[1]):
            continue
        subsets = [label_subset(train[1], budget, draw) for draw in range(DRAWS)]
        drawn = [linear_probe((train[0][subset], train[1][subset]), validation, test) for subset in subsets]
        for name in drawn[0]:
            scores[_key(name, f"linear_{budget}_labels_top1")] = sum(probe[name] for probe in drawn) / DRAWS
    return {name: round(100 * accuracy, 2) for name, accuracy in scores.items()}


def _split(encoder: Encoder, images: Images, device: torch.device, limit: int | None = None) -> Split:
    features = extract_features(encoder, images, device, limit)
    labels = images.labels
    assert isinstance(labels, Tensor)
    labels = labels[: len(features)]
    known = labels >= 0
    return features[known], labels[known]


def _key(split: str, name: str) -> str:
    return name if split == "test" else f"{split}_{name}"
