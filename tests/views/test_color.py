import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from synthdata.rng import generator_at
from synthdata.views import ViewParameters
from synthdata.views.color import adjust_color

# torchvision rounds its luma weights to four digits, whose sum is 0.9999
TOLERANCE = 4e-4
FACTORS = torch.tensor([0.0, 0.6, 1.0, 1.4, 1.9])


def pictures(low: float = 0.0, high: float = 1.0) -> Tensor:
    """Images in [0, 1], as torchvision takes them."""
    return torch.rand(len(FACTORS), 3, 8, 8, generator=generator_at("pictures")) * (high - low) + low


def adjusted(unit_images: Tensor, **factors: Tensor) -> Tensor:
    """Our colours of images in [0, 1], in [0, 1]."""
    parameters = replace(ViewParameters.unchanged(len(unit_images)), **factors)
    return (adjust_color(unit_images * 2 - 1, parameters) + 1) / 2


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factor_equals_torchvision(name: str) -> None:
    images = pictures()
    adjust = getattr(reference, f"adjust_{name}")
    expected = torch.stack([adjust(image, float(factor)) for image, factor in zip(images, FACTORS, strict=True)])
    torch.testing.assert_close(adjusted(images, **{name: FACTORS}), expected, atol=TOLERANCE, rtol=0)


def test_every_order_of_torchvision_gives_our_colours() -> None:
    images = pictures(0.4, 0.6)
    factors = {"brightness": torch.full((5,), 1.2), "contrast": torch.full((5,), 0.7)}
    factors["saturation"] = torch.full((5,), 1.3)
    ours = adjusted(images, **factors)
    for order in itertools.permutations(factors):
        expected = images
        for name in order:
            expected = getattr(reference, f"adjust_{name}")(expected, float(factors[name][0]))
        torch.testing.assert_close(ours, expected, atol=TOLERANCE, rtol=0)


def test_greyscale_equals_torchvision() -> None:
    images = pictures()
    expected = reference.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(adjusted(images, saturation=torch.zeros(5)), expected, atol=TOLERANCE, rtol=0)


def hsv_hue(images: Tensor) -> Tensor:
    """(N, 3, H, W) colours to (N, H, W) hue in turns, by the hexagon's six sectors."""
    red, green, blue = images.unbind(1)
    highest, chroma = images.amax(1), images.amax(1) - images.amin(1)
    sector = torch.where(highest == green, 2 + (blue - red) / chroma, 4 + (red - green) / chroma)
    return torch.where(highest == red, (green - blue) / chroma, sector) / 6 % 1


@pytest.mark.parametrize("turns", [-0.5, -0.1, 0.05, 0.1, 0.3])
def test_hue_turns_as_far_as_torchvision_to_two_and_a_half_degrees(turns: float) -> None:
    images = pictures(0.4, 0.6)
    ours = hsv_hue(adjusted(images, hue=torch.full((5,), turns)))
    expected = hsv_hue(torch.stack([reference.adjust_hue(image, turns) for image in images]))
    difference = (ours - expected + 0.5) % 1 - 0.5
    assert difference.abs().max() * 360 < 2.5


def test_hue_keeps_luma_and_greys() -> None:
    images = pictures(0.4, 0.6)
    images[0] = 0.37
    turned = adjusted(images, hue=torch.full((5,), 0.2))
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    torch.testing.assert_close((turned * luma).sum(1), (images * luma).sum(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(turned[0], images[0], atol=1e-6, rtol=0)
    assert (turned[1:] - images[1:]).abs().max() > 0.05


def test_unchanged_factors_leave_colours_as_they_are() -> None:
    images = pictures()
    torch.testing.assert_close(adjusted(images), images, atol=1e-6, rtol=0)


def test_colours_stay_displayable() -> None:
    images = pictures() * 2 - 1
    doubled = torch.full((5,), 2.0)
    colours = adjust_color(images, replace(ViewParameters.unchanged(5), brightness=doubled, saturation=doubled))
    assert colours.min() >= -1
    assert colours.max() <= 1


def test_one_channel_follows_brightness_and_contrast_alone() -> None:
    images = pictures()[:, :1]
    factors = {"brightness": FACTORS, "contrast": FACTORS.flip(0)}
    plain = adjusted(images, **factors)
    assert torch.equal(adjusted(images, saturation=FACTORS, hue=FACTORS / 4, **factors), plain)
    as_rgb = adjusted(images.expand(-1, 3, -1, -1), **factors)
    torch.testing.assert_close(as_rgb, plain.expand(-1, 3, -1, -1), atol=1e-6, rtol=0)


def test_constants_made_without_gradients_serve_training_too() -> None:
    images = pictures()
    with torch.inference_mode():
        adjusted(images.double())
    trained = images.double().requires_grad_()
    adjusted(trained).sum().backward()
    assert trained.grad is not None
