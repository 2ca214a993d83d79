import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from synthdata.rng import generator_at
from synthdata.views.blur import gaussian_blur


def pictures(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=generator_at("pictures")) * 2 - 1


@pytest.mark.parametrize(("height", "width", "radius"), [(16, 16, 6), (32, 32, 1), (12, 20, 11)])
def test_blur_equals_torchvision_sample_by_sample(height: int, width: int, radius: int) -> None:
    images, sigmas = pictures(4, height, width), [0.1, 0.5, 1.3, 2.0]
    blurred = gaussian_blur(images, torch.tensor(sigmas), radius)
    size = 2 * radius + 1
    expected = [
        reference.gaussian_blur(image, [size, size], [sigma, sigma])
        for image, sigma in zip(images, sigmas, strict=True)
    ]
    torch.testing.assert_close(blurred, torch.stack(expected), atol=1e-5, rtol=0)


def test_sigma_of_zero_leaves_the_image_as_it_is() -> None:
    images = pictures(2, 16, 16)
    blurred = gaussian_blur(images, torch.tensor([0.0, 1.0]), 6)
    assert torch.equal(blurred[0], images[0])
    assert not torch.allclose(blurred[1], images[1], atol=1e-2)


def test_constant_images_stay_constant() -> None:
    blurred = gaussian_blur(torch.full((1, 1, 9, 9), 0.3), torch.tensor([2.0]), 6)
    torch.testing.assert_close(blurred, torch.full((1, 1, 9, 9), 0.3))
