"""What the guard knows of images that were taken down."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from synthdata.data import DataConfig, load_images, to_float
from synthdata.emission.forgotten import REFUSED, Forgotten, perceptual_hash
from synthdata.emission.guard import RealNeighbours
from synthdata.errors import MisuseError


@pytest.fixture(scope="module")
def digits() -> Tensor:
    pixels = load_images(DataConfig("digits", image_size=16, limit=600)).train.pixels
    assert pixels is not None
    return pixels


def embedded(pixels: Tensor) -> Tensor:
    """Stands for an encoder: centred pixels, of unit norm."""
    rows = to_float(pixels).flatten(1)
    return F.normalize(rows - rows.mean(1, keepdim=True), dim=1)


def known(forgotten: Tensor, retained: Tensor) -> Forgotten:
    return Forgotten.of([(embedded(forgotten), forgotten)], [(embedded(retained), retained)])


def published_hash(image: np.ndarray) -> np.ndarray:
    """pHash by SciPy's transform."""
    from scipy.fft import dctn

    low = dctn(image.astype(float))[:8, :8]
    return (low > np.median(low.flatten()[1:])).flatten()


def test_the_hash_is_that_of_the_discrete_cosine_transform() -> None:
    images = torch.randint(0, 256, (5, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = np.stack([published_hash(image[0].numpy()) for image in images])
    # coefficients at the edges of the transform have other weights, which moves the median a little
    assert (perceptual_hash(images).numpy() == expected).mean() > 0.95


def test_a_recoded_a_darker_and_a_resized_copy_are_near(digits: Tensor, tmp_path: Path) -> None:
    guard = known(digits[:5], digits[5:])
    pictures = [Image.fromarray(image[0].numpy()) for image in digits[:5]]
    copies = []
    for place, picture in enumerate(pictures):
        picture.save(tmp_path / f"{place}.jpg", quality=60)
        copies += [Image.open(tmp_path / f"{place}.jpg"), picture.point(lambda value: value * 0.7)]
        copies.append(picture.resize((12, 12), Image.Resampling.BICUBIC).resize((16, 16), Image.Resampling.BICUBIC))
    pixels = torch.stack([torch.from_numpy(np.array(copy))[None] for copy in copies])
    assert guard.near(embedded(pixels), pixels).all()


def test_few_images_that_have_nothing_to_do_with_them_are_refused(digits: Tensor) -> None:
    guard = known(digits[:5], digits[5:300])
    others = digits[300:]
    assert guard.near(embedded(others), others).float().mean() < 3 * REFUSED


def test_the_guard_of_forgotten_images_reaches_further_than_that_of_others(digits: Tensor) -> None:
    """Of copies with more and more noise, it goes on refusing those that the other guard lets pass."""
    gone, retained = digits[:20], digits[20:]
    guard, other = known(gone, retained), RealNeighbours.of([(embedded(digits), digits)])
    noise = torch.randn(gone.shape, generator=torch.Generator().manual_seed(0))
    limit = other.copy_distance(0.05)
    widest = []
    for amount in range(0, 120, 4):
        noisy = (gone.float() + amount * noise).clamp(0, 255).to(torch.uint8)
        copies = other.nearest(embedded(noisy), noisy).pixel_distance <= limit
        widest.append((guard.near(embedded(noisy), noisy).float().mean(), copies.float().mean()))
    reach, others_reach = (sum(float(each[part]) for each in widest) for part in (0, 1))
    assert reach > others_reach


def test_the_file_holds_no_pixels_and_is_read_as_it_was_written(digits: Tensor, tmp_path: Path) -> None:
    guard = known(digits[:5], digits[5:])
    guard.save(tmp_path / "forgotten.safetensors")
    again = Forgotten.load(tmp_path / "forgotten.safetensors")
    assert torch.equal(again.embeddings, guard.embeddings)
    assert torch.equal(again.hashes, guard.hashes)
    assert (again.similarity, again.bits) == (guard.similarity, guard.bits)
    assert again.hashes.shape == (5, 64)


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 64])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "forgotten.safetensors").write_bytes(content)
    with pytest.raises(MisuseError, match="is damaged"):
        Forgotten.load(tmp_path / "forgotten.safetensors")
