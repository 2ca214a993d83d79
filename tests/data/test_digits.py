import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from synthdata.data import DataConfig, RealData, load_images
from synthdata.errors import MisuseError


@pytest.fixture(scope="module")
def digits() -> RealData:
    return load_images(DataConfig(image_size=8))


def test_the_split_is_1197_300_300(digits: RealData):
    assert [len(split) for split in (digits.train, digits.validation, digits.test)] == [1197, 300, 300]
    assert (digits.channels, digits.skipped) == (1, 0)
    assert digits.classes == [str(digit) for digit in range(10)]


def test_each_image_is_in_one_split_with_its_label(digits: RealData):
    raw = load_digits()
    expected = sorted((image.tobytes(), label) for image, label in zip(raw.images, raw.target, strict=True))
    found = []
    for split in (digits.train, digits.validation, digits.test):
        assert split.pixels is not None
        assert split.labels is not None
        values = np.round(split.pixels[:, 0].numpy() / 255 * 16)
        found += [(image.tobytes(), int(label)) for image, label in zip(values, split.labels, strict=True)]
    assert sorted(found) == expected


def test_held_out_classes_are_balanced(digits: RealData):
    for split in (digits.validation, digits.test):
        assert split.labels is not None
        assert (split.labels.bincount() - 30).abs().max() <= 1


def test_the_split_is_the_same_every_time(digits: RealData):
    again = load_images(DataConfig(image_size=8))
    assert again.train.pixels is not None
    assert digits.train.pixels is not None
    assert torch.equal(again.train.pixels, digits.train.pixels)


def test_digits_are_resized():
    assert load_images(DataConfig(image_size=16)).train[0].shape == (1, 16, 16)


def test_digits_take_no_argument():
    with pytest.raises(MisuseError, match="digits take no argument"):
        load_images(DataConfig(source="digits:3"))
