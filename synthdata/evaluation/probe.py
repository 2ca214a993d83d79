"""Linear probe and k-NN: what frozen features are worth to a classifier."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from synthdata.rng import generator_at

# Inverse regularisation strengths tried on the validation split.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)

Split = tuple[Tensor, Tensor]


def linear_probe(train: Split, validation: Split, test: Split | None = None) -> dict[str, float]:
    """Multinomial logistic regression on standardised features, its regularisation chosen on the validation split.

    Args:
        train: (N, D) features and (N,) labels; likewise the other splits.
        test: left unscored if not given.

    Returns:
        ``validation`` and, if asked for, ``test``: top-1 accuracies in [0, 1].
    """
    probe, best_score = fit_probe(train, validation)
    scores = {"validation": best_score}
    if test is not None:
        scores["test"] = float(probe.score(test[0].numpy(), test[1].numpy()))
    return scores


def fit_probe(train: Split, validation: Split) -> tuple[Pipeline, float]:
    """The linear probe that is best on the validation split, of ``STRENGTHS``, and its top-1 accuracy there."""
    scaler = StandardScaler().fit(train[0].numpy())
    features, labels = scaler.transform(train[0].numpy()), train[1].numpy()
    held_out = scaler.transform(validation[0].numpy())
    best, best_score = None, -1.0
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe = LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(features, labels)
        score = float(probe.score(held_out, validation[1].numpy()))
        if score > best_score:
            best, best_score = probe, score
    assert best is not None
    return make_pipeline(scaler, best), best_score


def knn_top1(train: Split, test: Split, neighbours: int = 200, temperature: float = 0.1) -> float:
    """Top-1 accuracy in [0, 1] of the k-NN classifier of Wu et al. (CVPR 2018, section 3.4), weighted by similarity.

    Args:
        train: (N, D) features, compared by cosine similarity, and (N,) labels; likewise ``test``.
        neighbours: the most that vote; never more than a tenth of the training images.
        temperature: divisor of the similarities in the weights of the votes.
    """
    bank, labels = F.normalize(train[0], dim=1), train[1]
    neighbours = max(1, min(neighbours, len(bank) // 10))
    votes = []
    for queries in F.normalize(test[0], dim=1).split(1024):
        similarity, nearest = (queries @ bank.T).topk(neighbours)
        one_hot = F.one_hot(labels[nearest], int(labels.max()) + 1)
        votes.append(((similarity / temperature).exp()[:, :, None] * one_hot).sum(1).argmax(1))
    return float((torch.cat(votes) == test[1]).float().mean())


def label_subset(labels: Tensor, budget: int, draw: int) -> Tensor:
    """Positions of ``budget`` labelled images, as equally many of each class as the budget allows.

    Args:
        labels: (N,) class indices.
        budget: number of labels over all classes; at least one of each class is taken.
        draw: number of the random draw; equal numbers give equal subsets.
    """
    classes = labels.unique()
    order = torch.randperm(len(labels), generator=generator_at("label subset", budget, draw))
    each = np.maximum(np.bincount(np.arange(budget) % len(classes), minlength=len(classes)), 1)
    return torch.cat([order[labels[order] == c][:n] for c, n in zip(classes, each, strict=True)])
