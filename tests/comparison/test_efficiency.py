"""The data-efficiency factor, on curves whose factor is known by construction."""

import math
from pathlib import Path

import pytest
from PIL import Image

from synthdata.comparison.efficiency import Curve, data_efficiency
from synthdata.comparison.plots import plot_curves


def curve(images: list[int], means: list[float], name: str = "curve") -> Curve:
    return Curve(name, images, means, [0.5] * len(images))


def logarithmic(images: list[int], worth: float = 1.0) -> Curve:
    """Accuracy that grows by 5 points with every doubling, as if each image were ``worth`` as many."""
    return curve(images, [20 + 5 * math.log2(worth * count) for count in images])


@pytest.mark.parametrize("worth", [0.5, 1.0, 2.0, 3.0])
def test_images_worth_twice_as_much_give_a_factor_of_two(worth: float):
    images = [100, 200, 500, 1000]
    assert data_efficiency(logarithmic(images), logarithmic(images, worth)) == pytest.approx(worth)


def test_the_curves_need_not_have_the_same_numbers_of_images():
    assert data_efficiency(logarithmic([100, 1000]), logarithmic([150, 300, 700], 1.5)) == pytest.approx(1.5)


def test_exchanged_curves_give_the_reciprocal():
    baseline, improved = curve([100, 200, 400], [50, 58, 70]), curve([100, 300, 400], [55, 64, 73])
    factor, inverse = data_efficiency(baseline, improved), data_efficiency(improved, baseline)
    assert factor is not None
    assert inverse is not None
    assert factor == pytest.approx(1 / inverse)
    assert factor > 1


def test_the_distance_is_averaged_over_the_shared_accuracies():
    # At 60 % the baseline needs 4 times as many images, at 70 % twice as many; linear in between.
    baseline, improved = curve([400, 800], [60, 70]), curve([100, 400], [60, 70])
    assert data_efficiency(baseline, improved) == pytest.approx(math.sqrt(4 * 2))


def test_nothing_is_extrapolated():
    assert data_efficiency(curve([100, 200], [50, 60]), curve([100, 200], [61, 70])) is None
    assert data_efficiency(curve([100], [50]), curve([100], [55])) is None


def test_a_dip_does_not_count_against_more_images():
    straight = logarithmic([100, 400])
    dipping = curve([100, 200, 400], [straight.mean[0], 3, straight.mean[1]])
    assert data_efficiency(straight, dipping) == pytest.approx(1)


def test_the_order_of_the_points_does_not_matter():
    images = [1000, 100, 500]
    assert data_efficiency(logarithmic([100, 1000]), logarithmic(images, 2.0)) == pytest.approx(2)


def test_the_plot_is_a_picture(tmp_path: Path):
    path = tmp_path / "new" / "curves.png"
    plot_curves([logarithmic([100, 200, 500]), logarithmic([100, 500], 2.0)], path)
    with Image.open(path) as picture:
        assert picture.width > 500
        assert len(picture.convert("RGB").getcolors(maxcolors=2**16) or []) > 50
