from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from synthdata.rng import generator_at
from synthdata.views import RandomView, ViewConfig, ViewParameters

EVERYTHING = ViewConfig(blur_probability=0.5, noise_probability=0.5)
NOTHING = ViewConfig(
    crop_scale=(1.0, 1.0), flip_probability=0.0, jitter_probability=0.0, greyscale_probability=0.0, blur_probability=0.0
)


def pictures(batch: int, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(batch, channels, size, size, generator=generator_at("pictures")) * 2 - 1


def equal(first: ViewParameters, second: ViewParameters) -> bool:
    return all(torch.equal(getattr(first, field.name), getattr(second, field.name)) for field in fields(first))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("config", [EVERYTHING, ViewConfig.weak(), replace(EVERYTHING, crop_scale=(1.0, 1.0))])
def test_gradients_reach_the_pixels(config: ViewConfig, channels: int) -> None:
    view = RandomView(config, image_size=6, channels=channels)
    parameters = view.draw(4, generator_at("views"))
    # mid-tones, so that no pixel is clamped and every derivative exists
    images = (pictures(4, channels, 6).double() * 0.2).requires_grad_()
    assert torch.autograd.gradcheck(lambda pixels: view.apply(pixels, parameters), images)


def test_samples_are_drawn_apart() -> None:
    parameters = RandomView(replace(EVERYTHING, jitter_probability=1.0), 16, 3).draw(64, generator_at("views"))
    assert len(parameters.box.unique(dim=0)) == 64
    for name in ("brightness", "contrast", "hue"):
        assert len(getattr(parameters, name).unique()) > 60
    for name in ("flip", "saturation", "blur_sigma"):
        assert len(getattr(parameters, name).unique()) > 1


def test_equal_images_get_different_views() -> None:
    images = pictures(1).expand(8, -1, -1, -1)
    views = RandomView(ViewConfig.simclr(), 16, 3)(images, generator_at("views"))
    assert len(views.flatten(1).unique(dim=0)) == 8


def test_parameters_are_a_function_of_batch_and_generator() -> None:
    view = RandomView(EVERYTHING, 16, 3)
    assert equal(view.draw(8, generator_at("views", 1)), view.draw(8, generator_at("views", 1)))
    assert not equal(view.draw(8, generator_at("views", 1)), view.draw(8, generator_at("views", 2)))


def test_slices_of_the_global_batch_make_the_global_views() -> None:
    view, images = RandomView(EVERYTHING, 16, 3), pictures(8)
    parameters = view.draw(8, generator_at("views"))
    slices = [view.apply(images[part], parameters[part]) for part in (slice(0, 3), slice(3, 8))]
    torch.testing.assert_close(torch.cat(slices), view.apply(images, parameters), atol=1e-6, rtol=0)


def test_parameters_can_be_indexed_by_a_permutation() -> None:
    parameters = RandomView(EVERYTHING, 16, 3).draw(8, generator_at("views"))
    order = torch.randperm(8, generator=generator_at("order"))
    assert torch.equal(parameters[order].box, parameters.box[order])


def test_drawing_and_applying_is_calling() -> None:
    view, images = RandomView(EVERYTHING, 16, 3), pictures(4)
    drawn = view.apply(images, view.draw(4, generator_at("views")))
    assert torch.equal(view(images, generator_at("views")), drawn)


def test_without_strength_the_view_is_the_image() -> None:
    images = pictures(4)
    assert torch.equal(RandomView(NOTHING, 16, 3)(images, generator_at("views")), images)


def test_unchanged_parameters_leave_the_image_through_every_step() -> None:
    images = pictures(4)
    views = RandomView(EVERYTHING, 16, 3).apply(images, ViewParameters.unchanged(4))
    torch.testing.assert_close(views, images, atol=1e-6, rtol=0)


def test_steps_are_applied_as_often_as_configured() -> None:
    config = replace(
        EVERYTHING, jitter_probability=0.3, greyscale_probability=0.1, blur_probability=0.6, noise_probability=0.2
    )
    parameters = RandomView(config, 4, 3).draw(20000, generator_at("views"))
    for applied, probability in [
        (parameters.flip, 0.5),
        (parameters.brightness != 1, 0.3),
        (parameters.hue != 0, 0.3),
        (parameters.saturation == 0, 0.1),
        (parameters.blur_sigma > 0, 0.6),
        (parameters.noise.flatten(1).any(1), 0.2),
    ]:
        assert applied.float().mean().item() == pytest.approx(probability, abs=0.02)


def test_strengths_bound_the_factors() -> None:
    config = ViewConfig(brightness=0.1, contrast=0.2, saturation=0.3, hue=0.05, greyscale_probability=0.0)
    parameters = RandomView(config, 16, 3).draw(5000, generator_at("views"))
    for name, strength in [("brightness", 0.1), ("contrast", 0.2), ("saturation", 0.3)]:
        deviation = (getattr(parameters, name) - 1).abs().max().item()
        assert strength * 0.95 < deviation <= strength + 1e-6
    assert 0.0475 < parameters.hue.abs().max().item() <= 0.05


def test_noise_has_the_deviation_that_was_asked_for_and_is_of_each_pixel_its_own() -> None:
    view = RandomView(replace(NOTHING, noise_probability=1.0, noise_sigma=(0.05, 0.05)), 16, 3)
    images = torch.zeros(64, 3, 16, 16)
    added = view(images, generator_at("views"))
    assert added.std().item() == pytest.approx(2 * 0.05, rel=0.02)  # pixels span two units
    assert added.mean().item() == pytest.approx(0, abs=0.002)
    assert len(added.unique()) > 0.99 * added.numel()


@pytest.mark.parametrize("channels", [1, 3])
def test_views_keep_shape_and_range(channels: int) -> None:
    images = pictures(64, channels).sign()
    views = RandomView(replace(EVERYTHING, brightness=1.0, contrast=1.0), 16, channels)(images, generator_at("views"))
    assert views.shape == images.shape
    assert views.dtype == torch.float32
    assert views.abs().max() <= 1 + 1e-6


def test_one_channel_ignores_saturation_hue_and_greyscale() -> None:
    config = replace(NOTHING, jitter_probability=1.0, brightness=0.0, contrast=0.0, greyscale_probability=1.0)
    images = pictures(4, channels=1)
    assert torch.equal(RandomView(config, 16, 1)(images, generator_at("views")), images)


def test_mixed_precision_does_not_coarsen_views() -> None:
    view, images = RandomView(EVERYTHING, 16, 3), pictures(4)
    expected = view(images, generator_at("views"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(view(images, generator_at("views")), expected)
    assert view(images.bfloat16(), generator_at("views")).dtype == torch.float32


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 16, 16\), got \(1, 16, 16\)"):
        RandomView(EVERYTHING, 16, 3)(pictures(2, channels=1), generator_at("views"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_host_never_waits_for_the_gpu() -> None:
    view, images = RandomView(EVERYTHING, 16, 3), pictures(8).cuda().requires_grad_()
    generator = generator_at("views", device="cuda")
    view(images, generator).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        view(images, generator).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
