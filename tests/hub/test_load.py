"""Real clients load from the loopback Hub what `hf upload` put there."""

import json
from pathlib import Path

import pytest

from .conftest import OTHER_TOKEN, Run
from .samples import write_parquet, write_webdataset
from .server import LoopbackHub

# For each NAME@REVISION: whether it loads without the token, and what the owner of the token gets.
LOAD = """
import json, sys
from datasets import load_dataset
from datasets.exceptions import DatasetNotFoundError

def index(row):
    return row["index"] if "index" in row else row["json"]["index"]

answers = {}
for name, _, revision in (argument.partition("@") for argument in sys.argv[1:]):
    try:
        load_dataset(name, "pairs", split="train", revision=revision, token=False)
        public = True
    except DatasetNotFoundError:
        public = False
    pairs = load_dataset(name, "pairs", split="train", revision=revision)
    hard = load_dataset(name, "hard", split="train", streaming=True, revision=revision)
    images = {column: value.size for column, value in pairs[0].items() if hasattr(value, "size")}
    rows = {"pairs": [index(row) for row in pairs], "hard": [index(row) for row in hard]}
    answers[name] = {"public": public, "images": images, **rows}
print(json.dumps(answers))
"""

READ_RANGE = """
import sys
from huggingface_hub import HfFileSystem
with HfFileSystem().open(sys.argv[1], block_size=1000) as file:
    file.seek(-700, 2)
    print(file.read(600).hex())
"""


def test_folders_uploaded_by_hf_load_whole_and_streaming(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    """WebDataset in a public repository, and Parquet on a branch of a private one, which loads with the token only."""
    folder = write_webdataset(tmp_path / "tar")
    uploaded = run("hf", "upload", "ada/tar", folder, "--repo-type", "dataset")
    assert uploaded.returncode == 0, uploaded.stderr
    branch = ("--private", "--revision", "trial/1")
    uploaded = run("hf", "upload", "ada/parquet", write_parquet(tmp_path / "pq"), "--repo-type", "dataset", *branch)
    assert uploaded.returncode == 0, uploaded.stderr
    assert hub.files("dataset", "ada/parquet").keys() == {".gitattributes"}
    shard = "data/pairs/pairs-00001-of-00002.tar"
    assert hub.files("dataset", "ada/tar")[shard].content == (folder / shard).read_bytes()

    loaded = run("python", "-c", LOAD, "ada/tar@main", "ada/parquet@trial/1")
    assert loaded.returncode == 0, loaded.stderr
    answers = json.loads(loaded.stdout)
    # Two tar shards: even rows in the first, odd ones in the second.
    rows = {"pairs": [0, 2, 1, 3], "hard": [0, 2, 1, 3]}
    assert answers["ada/tar"] == {"public": True, "images": {"a.png": [8, 8], "b.png": [8, 8]}, **rows}
    rows = {"pairs": [0, 1, 2, 3], "hard": [0, 1, 2, 3]}
    assert answers["ada/parquet"] == {"public": False, "images": {"image_a": [8, 8], "image_b": [8, 8]}, **rows}
    assert {request.token for request in hub.requests if request.route in ("download", "lfs_upload")} == {None}


@pytest.mark.parametrize(("token", "message"), [(None, "401"), (OTHER_TOKEN, "404"), ("hf_wrong", "401")])
def test_a_private_repository_is_hidden_from_others(
    run: Run, hub: LoopbackHub, tmp_path: Path, token: str | None, message: str
) -> None:
    hub.storage.create("dataset", "ada/hidden", "ada", private=True)
    client = run("hf", "download", "ada/hidden", ".gitattributes", "--repo-type", "dataset", HF_TOKEN=token)
    assert client.returncode == 1
    assert message in client.stderr or "not found" in client.stderr


def test_a_range_of_a_large_file_is_read_without_the_rest(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    folder = write_webdataset(tmp_path / "ranges", shards=1)
    shard = "data/hard/hard-00000-of-00001.tar"
    hub.storage.create("dataset", "ada/ranges", "ada", private=False)
    uploaded = run("hf", "upload", "ada/ranges", folder / shard, shard, "--repo-type", "dataset")
    assert uploaded.returncode == 0, uploaded.stderr
    read = run("python", "-c", READ_RANGE, f"datasets/ada/ranges/{shard}")
    assert read.returncode == 0, read.stderr
    assert hub.requests[-1].range is not None
    assert bytes.fromhex(read.stdout) == (folder / shard).read_bytes()[-700:-100]


def test_a_download_that_is_cut_midway_is_asked_for_again(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    folder = write_webdataset(tmp_path / "cut", shards=1)
    shard = "data/hard/hard-00000-of-00001.tar"
    hub.storage.create("dataset", "ada/cut", "ada", private=False)
    run("hf", "upload", "ada/cut", folder / shard, shard, "--repo-type", "dataset")
    hub.cut("download", after=3000)
    client = run("hf", "download", "ada/cut", shard, "--repo-type", "dataset", "--local-dir", tmp_path / "copy")
    assert client.returncode == 0, client.stderr
    assert hub.count("download") == 2
    assert (tmp_path / "copy" / shard).read_bytes() == (folder / shard).read_bytes()
