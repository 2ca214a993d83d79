"""Alignment and uniformity, against the formulas of Wang & Isola (2020) written out in numpy."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.data import DataConfig, RealData, load_images, to_float
from synthdata.evaluation import alignment, uniformity
from synthdata.evaluation.alignment import alignment_and_uniformity
from synthdata.models import Encoder
from synthdata.rng import generator_at
from synthdata.views import ViewConfig

UNCHANGED = ViewConfig(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip_probability=0.0, jitter_probability=0.0)


def on_sphere(purpose: str, count: int) -> Tensor:
    return F.normalize(torch.randn(count, 5, generator=generator_at(purpose)), dim=1)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder("resnet8", image_size=16, channels=1, width=4, hidden_dim=8, projection_dim=6).eval()


@pytest.fixture(scope="module")
def digits() -> RealData:
    return load_images(DataConfig("digits", image_size=16))


def test_alignment_is_the_mean_squared_distance_of_two_views():
    x, y = on_sphere("x", 40), on_sphere("y", 40)
    expected = np.mean([np.linalg.norm(a - b) ** 2 for a, b in zip(x.numpy(), y.numpy(), strict=True)])
    assert alignment(x, y) == pytest.approx(expected, rel=1e-5)


def test_equal_views_are_perfectly_aligned_and_opposite_ones_as_badly_as_can_be():
    x = on_sphere("x", 40)
    assert alignment(x, x) == 0
    assert alignment(x, -x) == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("count", [2, 40, 1100])
def test_uniformity_is_the_log_of_the_mean_potential_of_all_pairs(count: int):
    x = on_sphere("x", count)
    points = x.double().numpy()
    pairs = np.array(list(itertools.combinations(range(count), 2)))
    squared = ((points[pairs[:, 0]] - points[pairs[:, 1]]) ** 2).sum(1)
    assert uniformity(x) == pytest.approx(math.log(np.exp(-2 * squared).mean()), abs=1e-6)


def test_embeddings_in_one_place_are_least_uniform():
    assert uniformity(on_sphere("x", 1).expand(10, -1)) == pytest.approx(0)
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8)


def test_one_embedding_has_no_uniformity():
    with pytest.raises(ValueError, match="at least 2"):
        uniformity(on_sphere("x", 1))


def test_views_that_change_nothing_are_aligned_and_uniformity_is_that_of_the_images(encoder: Encoder, digits: RealData):
    scores = alignment_and_uniformity(encoder, digits.test, UNCHANGED, 0, torch.device("cpu"), limit=50)
    images = to_float(torch.stack([digits.test[i] for i in range(50)]))
    with torch.no_grad():
        projections, features = encoder(images), F.normalize(encoder.features(images), dim=1)
    assert scores["alignment"] == pytest.approx(0, abs=1e-6)
    assert scores["feature_alignment"] == pytest.approx(0, abs=1e-6)
    assert scores["uniformity"] == pytest.approx(uniformity(projections), abs=1e-4)
    assert scores["feature_uniformity"] == pytest.approx(uniformity(features), abs=1e-4)


def test_views_are_a_function_of_the_seed(encoder: Encoder, digits: RealData):
    first, again, other = (
        alignment_and_uniformity(encoder, digits.test, ViewConfig(), seed, torch.device("cpu"), limit=50)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first["alignment"] > 0
    assert first["alignment"] != other["alignment"]
