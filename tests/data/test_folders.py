import tracemalloc
from pathlib import Path

import pytest
import torch

from synthdata.data import DataConfig, load_images
from synthdata.data.folders import open_folder
from synthdata.errors import MisuseError

CONFIG = DataConfig(image_size=8)
TWENTY = [f"{'cat' if number % 2 else 'dog'}/{number:02}.png" for number in range(20)]


def test_labels_are_the_outermost_folder_names(make_folder):
    folder = make_folder([f"{kind}/deep/er/{number}.png" for kind in ("cat", "dog") for number in range(2)])
    source = open_folder(str(folder), CONFIG)
    assert source.classes == ["cat", "dog"]
    assert source.splits["train"].labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "files", [["0.png", "1.png"], ["cat/0.png", "dog/1.png", "2.png"], ["only/0.png", "only/1.png"]]
)
def test_images_outside_class_folders_leave_the_set_unlabelled(make_folder, files: list[str]):
    source = open_folder(str(make_folder(files)), CONFIG)
    assert source.classes is None
    assert source.splits["train"].labels is None


def test_split_folders_are_used_as_they_are(make_folder):
    files = [f"{split}/{file}" for split in ("train", "val", "test") for file in TWENTY]
    data = load_images(DataConfig(f"imagefolder:{make_folder(files)}", image_size=8))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [20, 20, 20]
    assert data.classes == ["cat", "dog"]
    assert data.test.labels.tolist() == data.validation.labels.tolist() == [0] * 10 + [1] * 10


def test_an_unlabelled_test_folder_is_not_used_for_evaluation(make_folder):
    folder = make_folder([f"train/{file}" for file in TWENTY] + ["test/a.png", "test/b.png", "test/c.png"])
    data = load_images(DataConfig(f"imagefolder:{folder}", image_size=8))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [16, 2, 2]
    assert set(data.test.labels.tolist()) <= {0, 1}


def test_hidden_and_other_files_are_ignored(make_folder):
    folder = make_folder(TWENTY)
    (folder / "notes.txt").write_text("not an image")
    (folder / "cat" / "._00.png").write_text("left behind by a file browser")
    assert len(open_folder(str(folder), CONFIG).splits["train"].rows) == 20


def test_source_indices_are_rows_of_the_sorted_files(make_folder):
    folder = make_folder(TWENTY)
    data = load_images(DataConfig(f"imagefolder:{folder}", image_size=8))
    rows = torch.cat([split.source_indices for split in (data.train, data.validation, data.test)])
    assert sorted(rows.tolist()) == list(range(20))
    by_path = sorted(TWENTY)
    for split in (data.train, data.validation, data.test):
        expected = [by_path[row].startswith("dog") for row in split.source_indices]
        assert split.labels.tolist() == expected


def test_a_missing_folder_is_named():
    with pytest.raises(MisuseError, match="/no/such/folder does not exist"):
        load_images(DataConfig("imagefolder:/no/such/folder"))


def test_an_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(MisuseError, match=f"{tmp_path} holds no image files"):
        load_images(DataConfig(f"imagefolder:{tmp_path}"))


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(MisuseError, match=r"a\.png is not a folder"):
        load_images(DataConfig(f"imagefolder:{tmp_path / 'a.png'}"))


def test_a_listing_takes_little_more_memory_than_the_paths(tmp_path: Path) -> None:
    """A million of them fit into 150 MB, and none is opened."""
    folders, each = 20, 250
    for folder in range(folders):
        (tmp_path / f"class_{folder}").mkdir()
        for number in range(each):
            (tmp_path / f"class_{folder}" / f"image_{number:06}.png").touch()
    open_folder(str(tmp_path), CONFIG)  # with all that is imported first
    tracemalloc.start()
    source = open_folder(str(tmp_path), CONFIG)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(source.splits["train"].rows) == folders * each
    assert peak < 150 * folders * each
