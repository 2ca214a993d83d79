"""Emitted datasets read from the loopback Hub by this package."""

import json
from pathlib import Path

from .conftest import Run
from .samples import write_webdataset
from .server import LoopbackHub

# For each source and config: how many rows there are and what the first is, or the error's exit code and line.
READ = """
import json, sys
import torch
from synthdata.data import PairsConfig, load_pairs
from synthdata.errors import SynthdataError

answers = []
for argument in sys.argv[1:]:
    source, kinds, gib = argument.split(",")
    try:
        pairs = load_pairs(PairsConfig(source, kinds, resident_gib=float(gib)))
        rows = [[int(image.sum()) for image in pairs[row]] for row in range(len(pairs))]
        answers.append({"resident": pairs.resident is not None, "rows": rows})
    except SynthdataError as error:
        answers.append({"exit_code": error.exit_code, "error": str(error)})
print(json.dumps(answers))
"""


def read(run: Run, *arguments: str) -> list[dict]:
    client = run("python", "-c", READ, *arguments)
    assert client.returncode == 0, client.stderr
    return json.loads(client.stdout)


def test_a_repository_is_read_like_the_folder_that_was_uploaded(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    folder = write_webdataset(tmp_path / "tar")
    uploaded = run("hf", "upload", "ada/tar", folder, "--repo-type", "dataset")
    assert uploaded.returncode == 0, uploaded.stderr
    local, resident, streaming, absent_config = read(
        run, f"{folder},all,4", "ada/tar,all,4", "hf://datasets/ada/tar@main,all,0", "ada/tar,neither,4"
    )
    assert len(local["rows"]) == 8
    assert resident == local
    assert streaming == {"resident": False, "rows": local["rows"]}
    assert absent_config == {"exit_code": 2, "error": "ada/tar has no config neither, only hard, pairs: ask for that"}


def test_shards_are_fetched_when_they_are_needed(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    run("hf", "upload", "ada/tar", write_webdataset(tmp_path / "tar"), "--repo-type", "dataset")
    client = run(
        "python",
        "-c",
        "from synthdata.data import PairsConfig, load_pairs\n"
        "pairs = load_pairs(PairsConfig('ada/tar', 'pairs', resident_gib=0.0))\n"
        "pairs[len(pairs) - 1]",
    )
    assert client.returncode == 0, client.stderr
    fetched = {request.path for request in hub.requests if request.route == "resolve" and ".tar" in request.path}
    assert {path.rpartition("/")[2] for path in fetched} == {
        f"pairs-0000{number}-of-00002.tar" for number in range(2)
    }  # the first to learn the size of the images, the last for its row; none of the other config


def test_what_the_hub_lacks_ends_in_one_line(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    hub.storage.create("dataset", "ada/empty", "ada", private=False)
    absent, empty = read(run, "ada/absent,all,4", "ada/empty,all,4")
    assert absent["exit_code"] == empty["exit_code"] == 2
    assert absent["error"].startswith("ada/absent is neither a folder nor a dataset of the Hub that you can read")
    assert empty["error"].startswith("ada/empty has no manifest.json: name a finished dataset")


def test_a_hub_that_cannot_be_reached_is_a_failure(run: Run) -> None:
    client = run("python", "-c", READ, "ada/tar,all,4", HF_HUB_OFFLINE="1")
    (answer,) = json.loads(client.stdout)
    assert answer == {"exit_code": 1, "error": "ada/tar: the Hub does not answer; check the network and try again"}
