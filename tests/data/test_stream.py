from itertools import islice
from pathlib import Path

import pytest
import torch

from synthdata.data import DataConfig, RealData, load_images, shuffled_indices, stream


@pytest.fixture
def folder(make_folder) -> Path:
    return make_folder([f"{number:03}.png" for number in range(40)])


def on_disk(folder: Path) -> RealData:
    return load_images(DataConfig(f"imagefolder:{folder}", image_size=8, resident_gib=0))


def test_resident_images_are_yielded_in_the_order_of_the_indices(folder: Path):
    data = load_images(DataConfig(f"imagefolder:{folder}", image_size=8))
    order = [torch.tensor([3, 1]), torch.tensor([0, 0, 7])]
    for batch, indices in zip(stream(data.train, order, "cpu"), order, strict=True):
        assert torch.equal(batch, data.train.pixels[indices])


def test_images_on_disk_are_the_resident_ones(folder: Path):
    resident = load_images(DataConfig(f"imagefolder:{folder}", image_size=8)).train
    streamed = on_disk(folder).train
    assert streamed.pixels is None
    assert torch.equal(next(stream(streamed, [torch.arange(len(streamed))], "cpu", workers=0)), resident.pixels)


def test_workers_do_not_change_the_order_and_any_step_can_start(folder: Path):
    images = on_disk(folder).train
    expected = list(islice(stream(images, shuffled_indices(len(images), 6, seed=0), "cpu", workers=0), 14))
    late = shuffled_indices(len(images), 6, seed=0, start=4)
    found = islice(stream(images, late, "cpu", workers=2), 10)
    for number, batch in enumerate(found, start=4):
        assert batch.dtype == torch.uint8
        assert torch.equal(batch, expected[number])


def test_a_finite_order_ends(folder: Path):
    assert len(list(stream(on_disk(folder).train, [torch.tensor([0]), torch.tensor([1])], "cpu", workers=0))) == 2
