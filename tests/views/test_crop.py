import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from synthdata.rng import generator_at
from synthdata.views.crop import draw_boxes, horizontal_flip, resized_crop

SIMCLR = {"scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}


def pictures(batch: int, size: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(batch, channels, size, size, generator=generator_at("pictures")) * 2 - 1


@pytest.mark.parametrize("size", [16, 28, 32])
def test_crop_equals_torchvision_resized_crop(size: int) -> None:
    images = pictures(5, size)
    pixels = torch.tensor([[0, 0, size, size], [3, 5, 7, 9], [size - 4, 2, 4, 11], [1, 1, 1, 1], [2, 0, 9, size]])
    crops = resized_crop(images, pixels / size, torch.zeros(5, dtype=torch.bool))
    for image, (top, left, height, width), crop in zip(images, pixels.tolist(), crops, strict=True):
        expected = reference.resized_crop(image, top, left, height, width, [size, size], antialias=False)
        torch.testing.assert_close(crop, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("size", [8, 28, 32])
def test_crop_of_the_whole_image_is_the_image(size: int) -> None:
    images = pictures(2, size)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, 4)
    crops = resized_crop(images, whole, torch.tensor([False, True]))
    torch.testing.assert_close(crops, torch.stack((images[0], images[1].flip(-1))), atol=1e-5, rtol=0)


def test_flip_of_the_whole_image_is_exact_at_powers_of_two() -> None:
    images = pictures(2, 32)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, 4)
    assert torch.equal(resized_crop(images, whole, torch.tensor([True, True])), images.flip(-1))


def test_flip_mirrors_only_the_chosen_samples() -> None:
    images = pictures(2, 28)
    flipped = horizontal_flip(images, torch.tensor([True, False]))
    assert torch.equal(flipped, torch.stack((images[0].flip(-1), images[1])))


def test_flipped_crop_is_the_crop_flipped() -> None:
    images, box = pictures(4, 16), draw_boxes(4, **SIMCLR, generator=generator_at("boxes"))
    straight = resized_crop(images, box, torch.zeros(4, dtype=torch.bool))
    assert torch.equal(resized_crop(images, box, torch.ones(4, dtype=torch.bool)), straight.flip(-1))


def test_boxes_lie_inside_the_image() -> None:
    box = draw_boxes(5000, **SIMCLR, generator=generator_at("boxes"))
    assert box.min() >= 0
    assert (box[:, :2] + box[:, 2:]).max() <= 1 + 1e-6
    area = box[:, 2] * box[:, 3]
    assert area.min() >= 0.08 - 1e-6


def test_boxes_are_distributed_as_torchvision_draws_them() -> None:
    box = draw_boxes(20000, **SIMCLR, generator=generator_at("boxes"))
    side = 1000
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.empty(1, side, side)
        drawn = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    expected = torch.tensor(drawn) / side
    quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    for ours, theirs in [
        (box[:, 2] * box[:, 3], expected[:, 2] * expected[:, 3]),
        (box[:, 3] / box[:, 2], expected[:, 3] / expected[:, 2]),
        (box[:, 0], expected[:, 0]),
        (box[:, 1], expected[:, 1]),
    ]:
        torch.testing.assert_close(ours.quantile(quantiles), theirs.quantile(quantiles), atol=0.03, rtol=0)


@pytest.mark.parametrize(("ratio", "height", "width"), [((0.75, 1.5), 1.0, 1.0), ((2.0, 3.0), 0.5, 1.0)])
def test_box_that_never_fits_becomes_the_largest_that_does(
    ratio: tuple[float, float], height: float, width: float
) -> None:
    box = draw_boxes(100, scale=(1.0, 1.0), ratio=ratio, generator=generator_at("boxes"))
    assert torch.allclose(box[:, 2:], torch.tensor([height, width]))
