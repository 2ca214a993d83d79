"""Datasets that are written to the loopback Hub shard by shard, by way of hf://."""

import json
from pathlib import Path

from stores.rows import write_rows

from synthdata.emission import read_manifest

from .conftest import OTHER_TOKEN, REPOSITORY, Run
from .server import LoopbackHub

OUTPUT = "hf://datasets/ada/made"
TESTS = f"{REPOSITORY}:{REPOSITORY / 'tests'}"
WRITE = f"""
from stores.rows import write_rows
from synthdata.emission import verify_dataset
from synthdata.errors import one_line_errors
with one_line_errors():
    print(write_rows("{OUTPUT}").kept, verify_dataset("{OUTPUT}"), verify_dataset("{OUTPUT}", deep=True))
"""

HALF = f"""
from stores.rows import write_rows
write_rows("{OUTPUT}", worker=WORKER, workers=2)
"""


def test_a_dataset_on_the_hub_has_the_bytes_of_one_on_this_machine(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    hub.storage.create("dataset", "ada/made", "ada", private=False)
    hub.fail("commit", times=2, status=503)
    hub.cut("lfs_upload", after=2000)
    written = run("python", "-c", WRITE, PYTHONPATH=TESTS)
    assert (written.returncode, written.stdout) == (0, "0 [] []\n"), written.stderr
    write_rows(tmp_path / "local")
    files = hub.files("dataset", "ada/made")
    manifest = json.loads(files["manifest.json"].content)
    assert manifest["shards"] == read_manifest(tmp_path / "local")["shards"]
    assert files.keys() == {".gitattributes", "manifest.json", *(shard["path"] for shard in manifest["shards"])}


def test_a_dataset_on_the_hub_is_finished_looked_at_and_pushed_from_there(run: Run, hub: LoopbackHub) -> None:
    hub.storage.create("dataset", "ada/made", "ada", private=False)
    for worker in "01":
        ran = run("python", "-c", HALF.replace("WORKER", worker), PYTHONPATH=TESTS)
        assert ran.returncode == 0, ran.stderr
    for verb in (["finish"], ["page"], ["verify", "--deep"]):
        ran = run("synthdata", verb[0], OUTPUT, *verb[1:])
        assert ran.returncode == 0, ran.stderr
    pushed = run("synthdata", "push", OUTPUT, "ada/copy")
    assert pushed.returncode == 0, pushed.stderr
    made, copied = (
        {path: file.content for path, file in hub.files("dataset", name).items()} for name in ("ada/made", "ada/copy")
    )
    assert made == copied
    assert {"README.md", "croissant.json", "index.html", "manifest.json"} < made.keys()


def test_a_repository_that_may_not_be_written_or_is_not_there_is_told(run: Run, hub: LoopbackHub) -> None:
    hub.storage.create("dataset", "ada/made", "ada", private=False)
    refused = run("python", "-c", WRITE, PYTHONPATH=TESTS, HF_TOKEN=OTHER_TOKEN)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(
        f"error: {OUTPUT} may not be written with these credentials (403)"
    )
    assert OTHER_TOKEN not in refused.stderr
    missing = run("python", "-c", WRITE.replace("ada/made", "ada/none"), PYTHONPATH=TESTS)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert "hf://datasets/ada/none is in no bucket or repository that you can see" in missing.stderr
