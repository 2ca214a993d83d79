"""The list that a person writes, as rows of a source."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthdata.data import DataConfig, RealData, load_images
from synthdata.errors import MisuseError
from synthdata.takedown.listing import UnknownEntriesError, listed_rows, read_list


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images in two classes, of which two are the same file."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number in range(40):
        path = root / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(path)
    (root / "a" / "38.png").write_bytes((root / "a" / "00.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def data(folder: Path) -> RealData:
    return load_images(DataConfig(f"imagefolder:{folder}", image_size=8))


def rows_of(data: RealData, text: str, folder: Path) -> list[int]:
    path = folder.parent / "forget.txt"
    path.write_text(text)
    return listed_rows(read_list(path), data.train.source, data.classes, data.source)


def test_rows_paths_hashes_and_classes_are_understood(data: RealData, folder: Path) -> None:
    names = [Path(data.train.source.rows.name(row)) for row in range(40)]
    digest = hashlib.sha256((folder / "b" / "01.png").read_bytes()).hexdigest()
    text = f"# asked for by mail\n\n7\nb/03.png\n{folder / 'a' / '04.png'}\n{digest.upper()}\n 7 \n"
    expected = {7, *(names.index(folder / path) for path in ("b/03.png", "a/04.png", "b/01.png"))}
    assert rows_of(data, text, folder) == sorted(expected)
    of_class = rows_of(data, "class:b", folder)
    assert [names[row].parent.name for row in of_class] == ["b"] * 20


def test_a_hash_names_every_copy_of_the_file(data: RealData, folder: Path) -> None:
    digest = hashlib.sha256((folder / "a" / "00.png").read_bytes()).hexdigest()
    found = {Path(data.train.source.rows.name(row)).name for row in rows_of(data, digest, folder)}
    assert found == {"00.png", "38.png"}


def test_all_unknown_entries_are_told_with_their_lines(data: RealData, folder: Path) -> None:
    unknown = ["40", "9" * 30, "a/99.png", "class:c", "0" * 64, "../secret.png"]
    with pytest.raises(UnknownEntriesError, match=r"6 of 7 entries name no training image of imagefolder") as told:
        rows_of(data, "\n".join(["1", *unknown]), folder)
    assert told.value.lines == [f"line {number}: {entry}" for number, entry in enumerate(unknown, 2)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "lists no image"),
        (b"# nothing\n\n", "lists no image"),
        (b"\x89PNG\r\n\x1a\n\0", r"is no list.*near:"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "forget.txt").write_bytes(content)
    with pytest.raises(MisuseError, match=words):
        read_list(tmp_path / "forget.txt")


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="does not exist"):
        read_list(tmp_path / "absent.txt")


def test_excluded_rows_leave_every_split_that_is_carved_and_no_image_takes_their_place(folder: Path) -> None:
    source = f"imagefolder:{folder}"
    whole = load_images(DataConfig(source, image_size=8, limit=20))
    gone = [int(split.source_indices[0]) for split in (whole.train, whole.validation, whole.test)]
    less = load_images(DataConfig(source, image_size=8, limit=20, exclude=gone))
    for before, after in ((whole.train, less.train), (whole.validation, less.validation), (whole.test, less.test)):
        assert after.source_indices.tolist() == before.source_indices[1:].tolist()
    assert set(less.labelled.source_indices.tolist()) == set(whole.labelled.source_indices.tolist()) - set(gone)


@pytest.mark.parametrize(("exclude", "words"), [([40], "row 40"), (list(range(40)), "no training image")])
def test_exclusions_that_cannot_be_are_refused(folder: Path, exclude: list[int], words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        load_images(DataConfig(f"imagefolder:{folder}", image_size=8, exclude=exclude))
