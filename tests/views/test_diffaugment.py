import pytest
import torch
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.rng import generator_at
from synthdata.views import DiffAugment
from synthdata.views.diffaugment import cutout, jitter, translate


def pictures(batch: int, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(batch, channels, size, size, generator=generator_at("pictures")) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_is_brightness_then_saturation_then_contrast(channels: int) -> None:
    images = pictures(6, channels)
    parameters = DiffAugment(image_size=16).draw(6, generator_at("augment"))
    brightness, saturation, contrast = (
        factor.view(-1, 1, 1, 1) for factor in (parameters.brightness, parameters.saturation, parameters.contrast)
    )
    expected = images + brightness
    grey = expected.mean(1, keepdim=True)
    expected = (expected - grey) * saturation + grey
    mean = expected.mean((1, 2, 3), keepdim=True)
    expected = (expected - mean) * contrast + mean
    torch.testing.assert_close(jitter(images, parameters), expected, atol=1e-5, rtol=0)


def test_translation_moves_down_and_right_and_fills_with_zero() -> None:
    images = pictures(3)
    moved = translate(images, torch.tensor([[0, 0], [2, -1], [-3, 4]]))
    assert torch.equal(moved[0], images[0])
    assert torch.equal(moved[1, :, 2:, :-1], images[1, :, :-2, 1:])
    assert torch.equal(moved[2, :, :-3, 4:], images[2, :, 3:, :-4])
    assert not moved[1, :, :2].any()
    assert not moved[1, :, :, -1:].any()
    assert not moved[2, :, -3:].any()
    assert not moved[2, :, :, :4].any()


def test_cutout_zeroes_a_square_and_nothing_else() -> None:
    images = pictures(2)
    cut = cutout(images, torch.tensor([[3, 5], [-4, 12]]), 8)
    expected = images.clone()
    expected[0, :, 3:11, 5:13] = 0
    expected[1, :, :4, 12:] = 0
    assert torch.equal(cut, expected)


@pytest.mark.parametrize("size", [15, 16])
def test_draws_cover_the_ranges_of_the_paper(size: int) -> None:
    parameters = DiffAugment(image_size=size).draw(20000, generator_at("augment"))
    for name, low, high in [("brightness", -0.5, 0.5), ("saturation", 0, 2), ("contrast", 0.5, 1.5)]:
        values = getattr(parameters, name)
        assert values.min().item() == pytest.approx(low, abs=0.01)
        assert values.max().item() == pytest.approx(high, abs=0.01)
    assert parameters.shift.unique().tolist() == [-2, -1, 0, 1, 2]
    # the centre of the eight-pixel hole is a pixel of the image, or its far edge
    assert parameters.hole.min() == -4
    assert parameters.hole.max() == size - 4


def test_hole_is_never_larger_than_half_the_side() -> None:
    augment = DiffAugment("cutout", image_size=16)
    masks = augment(torch.ones(500, 1, 16, 16), generator_at("augment"))
    removed = 256 - masks.sum((1, 2, 3))
    assert removed.max() == 64
    assert removed.min() >= 16


def test_gradients_reach_the_pixels_twice() -> None:
    augment = DiffAugment(image_size=6)
    parameters = augment.draw(2, generator_at("augment"))
    images = pictures(2, size=6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda pixels: augment.apply(pixels, parameters), images)
    # cubed, since the second derivative of an affine map is zero however it is computed
    assert torch.autograd.gradgradcheck(lambda pixels: augment.apply(pixels, parameters).pow(3), images)


def test_slices_of_the_global_batch_are_augmented_as_the_global_batch() -> None:
    augment, images = DiffAugment(image_size=16), pictures(8)
    parameters = augment.draw(8, generator_at("augment"))
    slices = [augment.apply(images[part], parameters[part]) for part in (slice(0, 3), slice(3, 8))]
    torch.testing.assert_close(torch.cat(slices), augment.apply(images, parameters), atol=1e-6, rtol=0)


def test_samples_are_augmented_apart_and_repeatably() -> None:
    augment, images = DiffAugment(image_size=16), pictures(1).expand(8, -1, -1, -1)
    first = augment(images, generator_at("augment"))
    assert len(first.flatten(1).unique(dim=0)) == 8
    assert torch.equal(first, augment(images, generator_at("augment")))


def test_empty_policy_changes_nothing() -> None:
    images = pictures(2)
    assert torch.equal(DiffAugment("", image_size=16)(images, generator_at("augment")), images)


def test_unknown_policy_is_named_with_the_known_ones() -> None:
    with pytest.raises(MisuseError, match="'rotate'; choose among color, translation, cutout"):
        DiffAugment("color,rotate")
