import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from synthdata.evaluation import knn_top1, label_subset, linear_probe
from synthdata.evaluation.probe import STRENGTHS
from synthdata.rng import generator_at

Split = tuple[Tensor, Tensor]


def clusters(purpose: str, count: int, spread: float, dimension: int = 6, classes: int = 3) -> Split:
    """Points around one centre for each class, on features of very different scale and offset."""
    centres = torch.randn(classes, dimension, generator=generator_at("centres")) * 3
    generator = generator_at(purpose)
    labels = torch.randint(classes, (count,), generator=generator)
    points = centres[labels] + spread * torch.randn(count, dimension, generator=generator)
    return points * torch.logspace(-2, 2, dimension) + 50, labels


def noise(purpose: str, count: int, dimension: int = 40) -> Split:
    """Features of which only the first, and that weakly, tells the label."""
    generator = generator_at(purpose)
    labels = torch.randint(2, (count,), generator=generator)
    features = torch.randn(count, dimension, generator=generator)
    features[:, 0] += labels * 1.5
    return features, labels


def test_a_separable_problem_is_solved_whatever_the_scale_of_its_features() -> None:
    splits = [clusters(purpose, 200, spread=0.2) for purpose in ("train", "validation", "test")]
    assert linear_probe(*splits) == {"validation": 1.0, "test": 1.0}


def test_regularisation_is_the_best_on_the_validation_split() -> None:
    train, validation, test = noise("train", 50), noise("validation", 400), noise("test", 400)
    mean, deviation = train[0].double().mean(0), train[0].double().std(0, correction=0)
    (x, y, z) = (((split[0] - mean) / deviation).numpy() for split in (train, validation, test))
    probes = [LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(x, train[1]) for strength in STRENGTHS]
    validation_scores = [probe.score(y, validation[1]) for probe in probes]
    assert max(validation_scores) > min(validation_scores)
    chosen = probes[int(np.argmax(validation_scores))]
    scores = linear_probe(train, validation, test)
    assert scores["validation"] == pytest.approx(max(validation_scores), abs=0.006)
    assert scores["test"] == pytest.approx(chosen.score(z, test[1]), abs=0.006)


def test_the_test_split_never_influences_the_choice() -> None:
    train, validation, test = noise("train", 50), noise("validation", 200), noise("test", 200)
    inverted = linear_probe(train, validation, (test[0], 1 - test[1]))
    scores = linear_probe(train, validation, test)
    assert linear_probe(train, validation) == {"validation": scores["validation"]}
    assert inverted["validation"] == scores["validation"]
    assert inverted["test"] == pytest.approx(1 - scores["test"])


def test_knn_is_a_vote_weighted_by_similarity() -> None:
    (bank, labels), (queries, truth) = clusters("train", 60, spread=4.0), clusters("test", 40, spread=4.0)
    correct = 0
    for query, label in zip(queries, truth.tolist(), strict=True):
        similarity = F.cosine_similarity(query[None], bank, dim=1)
        votes = torch.zeros(3)
        for neighbour in sorted(range(60), key=lambda i: -float(similarity[i]))[:6]:  # a tenth of the bank
            votes[labels[neighbour]] += torch.exp(similarity[neighbour] / 0.1)
        correct += int(votes.argmax()) == label
    assert knn_top1((bank, labels), (queries, truth)) == pytest.approx(correct / 40)
    assert 0.4 < correct / 40 < 1


def test_label_subsets_are_balanced_over_the_classes() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 30)
    assert labels[label_subset(labels, 30, draw=0)].bincount().tolist() == [10, 10, 10]
    assert labels[label_subset(labels, 31, draw=0)].bincount().tolist() == [11, 10, 10]
    assert labels[label_subset(labels, 2, draw=0)].bincount().tolist() == [1, 1, 1]


def test_a_label_subset_is_drawn_without_replacement_and_by_its_number_alone() -> None:
    labels = torch.arange(100) % 10
    first, second = label_subset(labels, 50, draw=1), label_subset(labels, 50, draw=2)
    assert len(first.unique()) == 50
    assert torch.equal(first, label_subset(labels, 50, draw=1))
    assert not torch.equal(first, second)
