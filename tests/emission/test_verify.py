"""Every kind of damage to a dataset is named."""

import shutil
from pathlib import Path

import pytest

from synthdata.emission import read_manifest, verify_dataset
from synthdata.errors import FailureError, MisuseError

SHARD = "data/hard/hard-00001-of-00004.tar"


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    """A dataset that the test may damage."""
    return Path(shutil.copytree(dataset, tmp_path / "copy"))


def test_a_finished_dataset_is_sound(dataset: Path):
    assert verify_dataset(dataset) == []


def test_a_missing_shard_is_named(copy: Path):
    (copy / SHARD).unlink()
    assert verify_dataset(copy) == [f"{SHARD}: missing"]


def test_a_truncated_shard_is_named_with_its_size(copy: Path):
    content = (copy / SHARD).read_bytes()
    (copy / SHARD).write_bytes(content[:512])
    assert verify_dataset(copy) == [f"{SHARD}: truncated, 512 of {len(content):,} bytes"]


@pytest.mark.parametrize("place", [0, 600, -1])
def test_one_altered_byte_is_named(copy: Path, place: int):
    content = bytearray((copy / SHARD).read_bytes())
    content[place] ^= 1
    (copy / SHARD).write_bytes(content)
    assert verify_dataset(copy) == [f"{SHARD}: altered, its sha256 is not the recorded one"]


def test_appended_bytes_are_named(copy: Path):
    with (copy / SHARD).open("ab") as file:
        file.write(b"\0")
    assert len(verify_dataset(copy)) == 1


def test_a_shard_that_the_manifest_does_not_name_is_named(copy: Path):
    shutil.copy(copy / SHARD, copy / "data/hard/hard-00009-of-00004.tar")
    assert verify_dataset(copy) == ["data/hard/hard-00009-of-00004.tar: not in the manifest"]


def test_every_problem_is_named(copy: Path):
    (copy / SHARD).unlink()
    (copy / "data/pairs/pairs-00000-of-00003.tar").write_bytes(b"")
    assert len(verify_dataset(copy)) == 2


def test_a_damaged_manifest_is_a_failure(copy: Path):
    (copy / "manifest.json").write_text("{")
    with pytest.raises(FailureError, match=r"manifest\.json is damaged"):
        verify_dataset(copy)


def test_a_manifest_without_shards_is_a_failure(copy: Path):
    (copy / "manifest.json").write_text("{}")
    with pytest.raises(FailureError, match=r"\(no (made_with|settings|shards|kinds)\)"):
        read_manifest(copy)


def test_a_folder_without_manifest_is_misuse(tmp_path: Path):
    with pytest.raises(MisuseError, match=r"holds no manifest\.json"):
        verify_dataset(tmp_path)
