"""The memorisation guard against an independent, exhaustive search."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.data import to_float
from synthdata.emission.guard import SMALLEST_DISTANCE, RealNeighbours, thumbnails
from synthdata.emission.run import Run


def neighbours(run: Run, pixels: Tensor) -> RealNeighbours:
    return RealNeighbours.of([(embed(run, pixels), pixels)])


def embed(run: Run, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        return run.encoder(to_float(pixels))


@pytest.fixture(scope="module")
def digits(run: Run) -> Tensor:
    assert run.images.pixels is not None
    return run.images.pixels


def test_the_nearest_training_image_is_the_most_similar_embedding(run: Run, digits: Tensor):
    nearest = neighbours(run, digits[:150]).nearest(embed(run, digits[150:]), digits[150:])
    similarity = embed(run, digits[150:]).numpy() @ embed(run, digits[:150]).numpy().T
    np.testing.assert_allclose(nearest.similarity, similarity.max(1), atol=1e-6)
    of_position = np.take_along_axis(similarity, nearest.position.numpy()[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(of_position, similarity.max(1), atol=1e-6)  # equally similar ones may trade places


def test_pixel_distance_is_the_root_mean_square_difference(run: Run, digits: Tensor):
    few = digits[:16]  # fewer than are compared, so all of them are
    nearest = neighbours(run, few).nearest(embed(run, digits[16:40]), digits[16:40])
    real, made = (images.double().flatten(1).numpy() / 255 for images in (few, digits[16:40]))
    expected = np.sqrt(((made[:, None] - real[None]) ** 2).mean(2)).min(1)
    np.testing.assert_allclose(nearest.pixel_distance, expected, atol=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_noisy_replays_are_nearer_than_real_images_are_to_each_other(run: Run, digits: Tensor, noise: float):
    real = neighbours(run, digits)
    drawn = torch.randn(digits.shape, generator=torch.Generator().manual_seed(0))
    replays = (digits + 255 * noise * drawn).round().clamp(0, 255).to(torch.uint8)
    distance = real.nearest(embed(run, replays), replays).pixel_distance
    assert bool((distance <= real.copy_distance(0.05)).all())


def test_few_unseen_real_images_are_taken_for_copies(run: Run, digits: Tensor):
    real = neighbours(run, digits[:150])
    distance = real.nearest(embed(run, digits[150:]), digits[150:]).pixel_distance
    assert float((distance <= real.copy_distance(0.05)).float().mean()) <= 0.1


def test_duplicates_in_the_training_images_do_not_lower_the_threshold(run: Run, digits: Tensor):
    once = neighbours(run, digits).copy_distance(0.5)
    doubled = neighbours(run, torch.cat([digits, digits[:20]])).copy_distance(0.5)
    assert doubled == pytest.approx(once, rel=0.05)


def test_a_single_training_image_still_has_a_threshold(run: Run, digits: Tensor):
    assert neighbours(run, digits[:1]).copy_distance(0.05) == SMALLEST_DISTANCE


def test_large_images_are_compared_as_thumbnails():
    pixels = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    expected = F.avg_pool2d(pixels.float(), 4).round().flatten(1)
    assert thumbnails(pixels).tolist() == expected.tolist()
