"""Small real image files for the tests of the data room."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EncodeImage = Callable[..., bytes]
MakeFolder = Callable[..., Path]


@pytest.fixture
def encode_image() -> EncodeImage:
    """`encode_image(seed, size=(8, 8), mode="RGB", kind="PNG")`: the bytes of an image of noise."""

    def encode(seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB", kind: str = "PNG") -> bytes:
        noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).convert(mode).save(buffer, kind)
        return buffer.getvalue()

    return encode


@pytest.fixture
def make_folder(tmp_path: Path, encode_image: EncodeImage) -> MakeFolder:
    """`make_folder(["a/0.png", …], mode="RGB")`: a folder with an image of noise at each path."""

    def make(files: list[str], mode: str = "RGB", name: str = "images") -> Path:
        for seed, file in enumerate(files):
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_image(seed, mode=mode))
        return tmp_path / name

    return make
