"""What comes from outside beside plain images: links, pipes, programs' formats, other people's names for things."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from synthdata.data import DataConfig, load_images
from synthdata.data.decode import PixelFormat, UnreadableImageError, decode
from synthdata.data.folders import open_folder
from synthdata.data.hub import open_hf, open_parquet
from synthdata.data.shards import open_shards
from synthdata.errors import FailureError, MisuseError, SynthdataError

CONFIG = DataConfig(image_size=8)
TWENTY = [f"{'cat' if number % 2 else 'dog'}/{number:02}.png" for number in range(20)]
REPOSITORY = Path(__file__).parents[2]

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))


def names_of(folder: Path) -> list[str]:
    rows = open_folder(str(folder), CONFIG).splits["train"].rows
    return [os.path.relpath(rows.name(row), folder) for row in range(len(rows))]


def told(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def write_rows(path: Path, rows: list[dict]) -> Path:
    features = datasets.Features({"image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}})
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict({"image": rows}, features=features).to_parquet(path)
    return path


def test_no_program_is_started_for_an_image(tmp_path: Path, make_folder) -> None:
    make_folder(TWENTY)
    for name in ("eps.png", "eps.jpg", "eps.gif"):
        (tmp_path / "images" / "cat" / name).write_bytes(EPS)
    by_path = {"bytes": None, "path": "images/cat/eps.png"}
    write_rows(tmp_path / "rows.parquet", [{"bytes": EPS, "path": "eps.png"}, by_path])
    for program in ("gs", "gswin32c", "gswin64c"):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n\n")
        path.chmod(0o755)
    code = f"""
import contextlib
from pathlib import Path
from PIL import Image
from synthdata.data import DataConfig, load_images
from synthdata.errors import MisuseError
data = load_images(DataConfig("imagefolder:{tmp_path}/images", image_size=8))
assert data.skipped == 3, data.skipped
try:
    load_images(DataConfig("parquet:{tmp_path}/rows.parquet", image_size=8))
except MisuseError as error:
    assert "none of the images" in str(error), error
assert not Path("{tmp_path}/called").exists()
with contextlib.suppress(OSError):
    Image.open("{tmp_path}/images/cat/eps.png").load()
assert Path("{tmp_path}/called").exists(), "the trap does not work"
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "HF_HOME": str(tmp_path / "cache"),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


@pytest.mark.parametrize("kind", ["EPS", "TGA", "PCX", "ICO", "PDF"])
def test_other_formats_are_refused_whatever_they_are_called(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (16, 16)).save(path, kind)
    with pytest.raises(UnreadableImageError, match="not an image"):
        decode(str(path), PixelFormat(3, 8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000"])
def test_every_format_of_the_known_endings_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (16, 16), (255, 255, 255)).save(path, kind)
    assert (decode(str(path), PixelFormat(3, 8)) == 255).all()


def test_one_class_called_train_is_a_class(make_folder, caplog) -> None:
    folder = make_folder([f"{kind}/{number}.png" for kind in ("car", "train", "truck") for number in range(4)])
    with caplog.at_level(logging.WARNING):
        source = open_folder(str(folder), CONFIG)
    assert source.classes == ["car", "train", "truck"]
    assert len(source.splits["train"].rows) == 12
    assert "train beside car: read as classes" in told(caplog)


def test_a_folder_without_images_is_no_class_beside_splits(make_folder) -> None:
    folder = make_folder([f"{split}/{file}" for split in ("train", "test") for file in TWENTY])
    (folder / "annotations").mkdir()
    (folder / "annotations" / "boxes.json").write_text("{}")
    assert set(open_folder(str(folder), CONFIG).splits) == {"train", "test"}


def test_images_beside_split_folders_are_told(make_folder, caplog) -> None:
    folder = make_folder([f"{split}/{file}" for split in ("train", "test") for file in TWENTY] + ["cover.png"])
    with caplog.at_level(logging.WARNING):
        assert len(open_folder(str(folder), CONFIG).splits["train"].rows) == 20
    assert "1 images beside test, train" in told(caplog)


def test_two_folders_for_one_split_are_misuse(make_folder) -> None:
    folder = make_folder([f"{split}/{file}" for split in ("train", "val", "valid") for file in TWENTY])
    with pytest.raises(MisuseError, match="val and valid, both for validation"):
        open_folder(str(folder), CONFIG)


def test_an_unlabelled_test_folder_that_is_left_out_is_told(make_folder, caplog) -> None:
    folder = make_folder([f"train/{file}" for file in TWENTY] + ["test/a.png"])
    with caplog.at_level(logging.WARNING):
        load_images(DataConfig(f"imagefolder:{folder}", image_size=8))
    assert "its test images have no labels: they are left out" in told(caplog)


def test_links_in_circles_give_every_image_once(make_folder, caplog) -> None:
    folder = make_folder(TWENTY)
    for name in ("again", "once more"):
        (folder / "cat" / name).symlink_to("..")
        (folder / "dog" / name).symlink_to("../cat")
    with caplog.at_level(logging.WARNING):
        assert names_of(folder) == sorted(TWENTY)
    assert "4 links and second names of what is read already (first cat/again)" in told(caplog)


def test_a_file_of_several_names_is_read_once_and_not_for_training_and_testing(make_folder, caplog) -> None:
    folder = make_folder([f"{split}/{split}{number}.png" for split in ("train", "test") for number in range(5)])
    (folder / "train" / "link.png").symlink_to("../test/test0.png")
    os.link(folder / "test" / "test1.png", folder / "train" / "hard.png")
    with caplog.at_level(logging.WARNING):
        splits = open_folder(str(folder), CONFIG).splits
    assert {name: len(split.rows) for name, split in splits.items()} == {"train": 5, "test": 5}
    assert "2 links and second names" in told(caplog)


def test_links_that_lead_out_or_to_nothing_are_left_out_and_told(make_folder, tmp_path: Path, caplog) -> None:
    folder, elsewhere = make_folder(TWENTY), make_folder(["secret.png"], name="elsewhere")
    (folder / "cat" / "out.png").symlink_to(elsewhere / "secret.png")
    (folder / "out").symlink_to(elsewhere)
    (folder / "up").symlink_to("..")
    (folder / "cat" / "gone.png").symlink_to("nowhere.png")
    (folder / "cat" / "self.png").symlink_to("self.png")
    with caplog.at_level(logging.WARNING):
        assert names_of(folder) == sorted(TWENTY)
    assert "5 links that lead out of it or to nothing (first cat/gone.png)" in told(caplog)


def test_links_into_a_hidden_store_inside_are_followed(make_folder) -> None:
    folder = make_folder([".store/0", ".store/more/1.png"])
    (folder / "zero.png").symlink_to(".store/0")
    (folder / "more").symlink_to(".store/more")
    assert names_of(folder) == ["more/1.png", "zero.png"]


def test_a_snapshot_in_the_hubs_cache_is_read_through_its_links(make_folder) -> None:
    repository = make_folder(["blobs/a", "blobs/b"], name="datasets--owner--name")
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for blob in "ab":
        (snapshot / f"{blob}.png").symlink_to(f"../../blobs/{blob}")
    assert names_of(snapshot) == ["a.png", "b.png"]


def test_pipes_are_left_out_of_folders_and_told(make_folder, caplog) -> None:
    folder = make_folder(TWENTY)
    os.mkfifo(folder / "cat" / "x.png")
    (folder / "dog" / "y.png").symlink_to("../cat/x.png")
    with caplog.at_level(logging.WARNING):
        assert names_of(folder) == sorted(TWENTY)
    assert "2 pipes, devices or sockets (first cat/x.png)" in told(caplog)


def test_a_pipe_in_the_place_of_a_file_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(UnreadableImageError, match="no regular file"):
        decode(str(tmp_path / "x.png"), PixelFormat(3, 8))


@pytest.mark.parametrize("source", ["imagefolder", "wds", "hf", "parquet"])
def test_a_pipe_for_a_source_does_not_wait(tmp_path: Path, source: str) -> None:
    os.mkfifo(tmp_path / "x.tar")
    with pytest.raises(SynthdataError, match=r"x\.tar"):
        load_images(DataConfig(f"{source}:{tmp_path / 'x.tar'}"))


@pytest.mark.parametrize("opener", [open_hf, open_parquet])
def test_pipes_and_links_to_folders_are_refused_where_a_library_lists_the_folder(tmp_path: Path, opener) -> None:
    rows = write_rows(tmp_path / "set" / "train.parquet", [{"bytes": b"", "path": None}])
    os.mkfifo(rows.with_name("more.parquet"))
    with pytest.raises(MisuseError, match=r"more\.parquet is a pipe"):
        opener(str(rows.parent), CONFIG)
    rows.with_name("more.parquet").unlink()
    for name in "ab":
        rows.with_name(name).symlink_to("..")
    with pytest.raises(MisuseError, match="is a link to a folder"):
        opener(str(rows.parent), CONFIG)


def test_paths_in_parquet_rows_are_opened_inside_the_sources_folder_alone(tmp_path: Path, encode_image) -> None:
    inside, outside = tmp_path / "set" / "in.png", tmp_path / "out.png"
    inside.parent.mkdir()
    for path in (inside, outside):
        path.write_bytes(encode_image(0))
    os.mkfifo(tmp_path / "set" / "pipe.png")
    (tmp_path / "set" / "link.png").symlink_to(outside)
    paths = ["in.png", str(inside), "../out.png", str(outside), "link.png", "x\0y", "", "pipe.png"]
    rows = write_rows(tmp_path / "set" / "rows.parquet", [{"bytes": None, "path": path} for path in paths])
    split = open_parquet(str(rows), CONFIG).splits["train"].rows
    expected = decode(encode_image(0), PixelFormat(3, 8))
    for row in range(2):
        assert np.array_equal(decode(split.read(row), PixelFormat(3, 8)), expected)
    for row in range(2, 6):
        with pytest.raises(UnreadableImageError, match="outside"):
            split.read(row)
    for row in range(6, 8):
        with pytest.raises(UnreadableImageError):
            decode(split.read(row), PixelFormat(3, 8))


def test_dangling_links_among_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "gone.tar").symlink_to("nowhere.tar")
    with pytest.raises(FailureError, match=r"gone\.tar cannot be read"):
        open_shards(f"{tmp_path}/*.tar", CONFIG)
    (tmp_path / "gone.parquet").symlink_to("nowhere.parquet")
    with pytest.raises(MisuseError, match=r"gone\.parquet does not exist"):
        open_parquet(str(tmp_path / "gone.parquet"), CONFIG)
    with pytest.raises(SynthdataError, match=str(tmp_path)):
        open_parquet(str(tmp_path), CONFIG)


@pytest.mark.parametrize("source", ["imagefolder:{}", "wds:{}", "parquet:{}", "hf:{}", "{}"])
@pytest.mark.parametrize(
    ("path", "message"),
    [("~no-such-user/x", "no user's home"), ("./" + "a" * 5000, "bytes long"), ("./a\0b", "NUL byte")],
)
def test_paths_that_no_file_can_have_are_told_in_one_line(source: str, path: str, message: str) -> None:
    with pytest.raises(MisuseError, match=message) as error:
        load_images(DataConfig(source.format(path)))
    assert len(str(error.value)) < 300
