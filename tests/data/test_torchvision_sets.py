import struct
from pathlib import Path

import numpy as np
import pytest

from synthdata.data import DataConfig, load_images
from synthdata.errors import FailureError, MisuseError


def write_idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def test_fashion_mnist_is_read_from_its_files(tmp_path: Path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    for prefix, part in {"train": slice(0, 20), "t10k": slice(20, 30)}.items():
        write_idx(raw / f"{prefix}-images-idx3-ubyte", pixels[part])
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(30, dtype=np.uint8)[part] % 10)
    data = load_images(DataConfig("torchvision:FashionMNIST", image_size=28, root=str(tmp_path)))
    assert data.channels == 1
    assert [len(split) for split in (data.train, data.validation, data.test)] == [18, 2, 10]
    assert np.array_equal(data.test.pixels[:, 0].numpy(), pixels[20:])
    assert data.train.labels.tolist() == [row % 10 for row in data.train.source_indices]
    assert data.classes[0] == "T-shirt/top"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(MisuseError, match="CIFAR10, CIFAR100, STL10, SVHN, FashionMNIST"):
        load_images(DataConfig("torchvision:cifar10"))


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FailureError, match=f"cannot be downloaded to {tmp_path}/file"):
        load_images(DataConfig("torchvision:CIFAR10", root=str(tmp_path / "file")))


@pytest.mark.parametrize(
    "garbage",
    [b"", b"garbage", bytes(1000), struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31), b"\x00\x00\x0e\x01" * 9],
)
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_files_that_are_garbage_are_told(tmp_path: Path, garbage: bytes, name: str):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.zeros(20, np.uint8))
    (raw / name).write_bytes(garbage)
    with pytest.raises(FailureError, match=f"files of torchvision:FashionMNIST in {tmp_path} are damaged"):
        load_images(DataConfig("torchvision:FashionMNIST", root=str(tmp_path)))


def test_labels_and_images_of_other_numbers_are_damage(tmp_path: Path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.zeros(19, np.uint8))
    with pytest.raises(FailureError, match="and 19 labels in train"):
        load_images(DataConfig("torchvision:FashionMNIST", root=str(tmp_path)))
