"""Mutated images, shards, Parquet files and folders: they are read, or refused in the project's own words."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from hostile.mutations import campaign, mutated
from synthdata.data import DataConfig, load_images
from synthdata.data.decode import (
    PixelFormat,
    UnreadableImageError,
    decode,
    decode_exact,
    is_greyscale,
    is_tiny,
    shorter_side,
)

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # Pillow's, on damaged files

Survives = Callable[[Callable[[], object]], None]

NOISE = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(kind: str, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


IMAGES = [
    *(encoded(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")),
    encoded("PNG", "P"),
    encoded("PNG", "LA"),
    encoded("PNG", "I;16"),
    encoded("JPEG", "CMYK"),
    encoded("TIFF", "RGB", compression="tiff_lzw"),
    encoded("TIFF", "RGB", compression="jpeg"),
    EPS,
]


@campaign(900)
@given(content=mutated(IMAGES), channels=st.sampled_from([1, 3]))
@example(content=EPS, channels=3)
def test_mutated_images(survives: Survives, content: bytes, channels: int) -> None:
    def read() -> None:
        try:
            pixels = decode(content, PixelFormat(channels, 8))
        except UnreadableImageError:
            return
        assert (pixels.shape, pixels.dtype) == ((channels, 8, 8), np.uint8)

    survives(read)


@campaign(200)
@given(content=mutated(IMAGES))
def test_headers_of_mutated_images(survives: Survives, content: bytes) -> None:
    def look() -> None:
        for question in (is_greyscale, is_tiny, shorter_side, lambda image: decode_exact(image, PixelFormat(3, 12))):
            try:
                question(content)
            except UnreadableImageError:
                continue

    survives(look)


def packed(layout: int, members: dict[str, bytes], **options) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout, **options) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


MEMBERS = {
    name: content
    for number in range(12)
    for name, content in (
        (f"{number:03}.png", IMAGES[0]),
        (f"{number:03}.cls", b"%d" % (number % 2)),
        (f"{number:03}.json", b'{"label": %d}' % number),
    )
}
NONSENSE = {"size": "9" * 5000, "path": "../../outside.png", "GNU.sparse.map": "1,x", "mtime": "nan"}
SHARDS = [
    packed(tarfile.USTAR_FORMAT, MEMBERS),
    packed(tarfile.GNU_FORMAT, {"n" * 200 + ".png": IMAGES[1], **MEMBERS}),
    packed(tarfile.PAX_FORMAT, MEMBERS, pax_headers=NONSENSE),
    packed(tarfile.PAX_FORMAT, {"ü" * 80 + ".png": IMAGES[2], **MEMBERS}),
]


@campaign(600)
@given(content=mutated(SHARDS), on_corrupt=st.sampled_from(["refuse", "skip"]))
@example(content=SHARDS[0][:1536], on_corrupt="refuse")
@example(content=SHARDS[2], on_corrupt="refuse")
def test_mutated_shards(survives: Survives, yard: Path, content: bytes, on_corrupt: str) -> None:
    shard = yard / "x.tar"
    shard.write_bytes(content)
    survives(lambda: load_images(DataConfig(f"wds:{shard}", image_size=8, on_corrupt=on_corrupt)))


@pytest.fixture(scope="module")
def parquet(yard: Path) -> bytes:
    rows = [{"bytes": IMAGES[number % 4], "path": None} for number in range(8)]
    rows += [{"bytes": None, "path": path} for path in ("../beside/outside.png", "/dev/tty", "x.png")]
    columns = {"image": rows, "label": [number % 2 for number in range(len(rows))]}
    image = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"image": image, "label": datasets.ClassLabel(names=["a", "b"])})
    path = yard / "sound.parquet"
    datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    return path.read_bytes()


@campaign(60)
@given(changes=st.data(), prefix=st.sampled_from(["parquet", "hf"]))
def test_mutated_parquet_files(survives: Survives, yard: Path, parquet: bytes, changes, prefix: str) -> None:
    folder = yard / "parquet"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "train.parquet").write_bytes(changes.draw(mutated([parquet])))
    survives(lambda: load_images(DataConfig(f"{prefix}:{folder}", image_size=8)))


NAMES = ["train", "Train", "val", "valid", "test", "cat", "dog", ".hidden", "a b", "ü", "\udcff"]
THINGS = st.tuples(
    st.sampled_from(["image", "image", "image", "damaged", "link", "hard link", "pipe", "folder"]),
    st.lists(st.sampled_from(NAMES), max_size=3),
    st.sampled_from(["a.png", "b.JPG", "c.tif", "d", "notes.txt", ".e.png"]),
    st.sampled_from([".", "..", "../..", "../../beside", "../train", "a.png", "../cat/a.png", "nowhere", "/dev"]),
)


def plant(root: Path, kind: str, folders: list[str], name: str, target: str) -> None:
    """Put one thing into a tree, unless something is in its way."""
    path = root.joinpath(*folders, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        match kind:
            case "link":
                path.symlink_to(target)
            case "hard link":
                os.link(path.parent / "a.png", path)
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case _:
                path.write_bytes(IMAGES[0] if kind == "image" else IMAGES[1][:200])
    except OSError:
        return


@campaign(180)
@given(things=st.lists(THINGS, min_size=4, max_size=20))
def test_trees_of_anything(survives: Survives, yard: Path, things: list[tuple[str, list[str], str, str]]) -> None:
    root = yard / "tree"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for thing in things:
        if not (root.joinpath(*thing[1], thing[2]).is_fifo()):
            plant(root, *thing)
    survives(lambda: load_images(DataConfig(f"imagefolder:{root}", image_size=8)))


PATHS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["~", "~/x", "~no-such-user/x", "a" * 5000, "a\0b", "**/*", "[", "//x", "./\ud800", "x:y:z", "\n"]),
)


@campaign(150)
@given(prefix=st.sampled_from(["imagefolder:", "wds:", "parquet:", ""]), path=PATHS)
@example(prefix="wds:", path="a\0b")
@example(prefix="imagefolder:", path="./\ud800")
def test_sources_of_any_name(survives: Survives, prefix: str, path: str) -> None:
    survives(lambda: load_images(DataConfig(prefix + path, image_size=8)))
