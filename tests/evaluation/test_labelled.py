from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthdata.data import DataConfig
from synthdata.errors import MisuseError
from synthdata.evaluation import load_labelled
from synthdata.evaluation.labelled import load_transfer
from synthdata.models import Encoder


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., str]:
    """Makes a source of random 20-px images of some classes."""

    def make(mode: str, classes: list[str], images: int = 12) -> str:
        random = np.random.default_rng(0)
        shape = (20, 20, 3) if mode == "RGB" else (20, 20)
        for name in classes:
            (tmp_path / mode / name).mkdir(parents=True)
            for i in range(images):
                pixels = random.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / mode / name / f"{i:02}.png")
        return f"imagefolder:{tmp_path / mode}"

    return make


def encoder(channels: int) -> Encoder:
    return Encoder("resnet8", image_size=16, channels=channels, width=4, hidden_dim=8, projection_dim=6)


def test_images_come_at_the_size_of_the_encoder(folder: Callable[..., str]) -> None:
    data = load_labelled(encoder(1), DataConfig(folder("L", ["a", "b"]), image_size=64))
    assert data.test[0].shape == (1, 16, 16)


def test_images_of_other_channels_are_refused_with_the_flag_that_converts_them(folder: Callable[..., str]) -> None:
    source = folder("RGB", ["a", "b"])
    with pytest.raises(MisuseError, match=r"1 channel\(s\) and .* has 3: convert them with --data.channels 1"):
        load_labelled(encoder(1), DataConfig(source))
    assert load_labelled(encoder(1), DataConfig(source, channels=1)).channels == 1


def test_another_source_is_converted_to_greyscale(folder: Callable[..., str]) -> None:
    source = folder("RGB", ["a", "b"])
    color = load_labelled(encoder(3), DataConfig(source)).train[0].float()
    grey = load_transfer(encoder(1), source, DataConfig("digits", limit=5, label_column="x")).train[0].float()
    assert grey.shape == (1, 16, 16)
    expected = (color * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)  # ITU-R BT.601
    # Resizing rounds, and cuts what the bicubic filter brings beyond black and white.
    assert (grey - expected).abs().mean() < 2


def test_another_source_is_converted_to_rgb() -> None:
    data = load_transfer(encoder(3), "digits", DataConfig("parquet:elsewhere", limit=5))
    assert data.train[0].shape == (3, 16, 16)
    assert torch.equal(data.train[0][0], data.train[0][2])
    assert len(data.train) > 1000


@pytest.mark.parametrize(("classes", "told"), [([""], "has no labels"), (["only", "also"], None)])
def test_images_without_labels_are_refused(folder: Callable[..., str], classes: list[str], told: str | None) -> None:
    source = folder("L", classes, images=20)
    if told is None:
        assert load_labelled(encoder(1), DataConfig(source)).classes == sorted(classes)
        return
    with pytest.raises(MisuseError, match=told):
        load_labelled(encoder(1), DataConfig(source))
