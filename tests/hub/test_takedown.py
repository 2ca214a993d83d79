"""A dataset that supersedes another on the loopback Hub."""

import hashlib
import json
from pathlib import Path

from .conftest import Run
from .samples import write_webdataset
from .server import LoopbackHub


def superseding(old: Path, folder: Path) -> Path:
    """A dataset with one shard of ``old`` as it was, in the place of its own, that says it supersedes it."""
    new = write_webdataset(folder, seed=1)
    kept = "data/hard/hard-00001-of-00002.tar"
    (new / kept).write_bytes((old / kept).read_bytes())
    manifest = json.loads((new / "manifest.json").read_text())
    for shard in manifest["shards"]:
        content = (new / shard["path"]).read_bytes()
        shard |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rows = {kind: {"kept": 2, "changed": 2, "nearest": 2, "near_copies": 0} for kind in ("hard", "pairs")}
    digest = hashlib.sha256((old / "manifest.json").read_bytes()).hexdigest()
    told = {"supersedes": digest, "scope": "near", "method": "calibration", "images": 3, "rows": rows}
    (new / "manifest.json").write_text(json.dumps(manifest | {"takedown": told}))
    return new


def test_a_push_deletes_the_old_shards_in_its_one_commit_and_verify_finds_none(
    run: Run, hub: LoopbackHub, tmp_path: Path
) -> None:
    old = write_webdataset(tmp_path / "old", rows=6, shards=3)
    new = superseding(write_webdataset(tmp_path / "kept"), tmp_path / "new")
    manifest = tmp_path / "kept" / "manifest.json"
    assert run("synthdata", "push", old, "ada/made").returncode == 0
    early = run("synthdata", "verify", "ada/made", "--absent", manifest)
    assert (early.returncode, early.stderr.count("\n")) == (2, 1)
    assert "does not supersede" in early.stderr
    commits = hub.count("commit")
    assert run("synthdata", "push", new, "ada/made").returncode == 0
    assert hub.count("commit") == commits + 1
    gone = run("synthdata", "verify", "ada/made", "--absent", manifest)
    assert (gone.returncode, gone.stderr) == (0, "")
    assert gone.stdout.startswith("ada/made has none of the 4 old shards, 1 hold no row that changed and are kept\n")
    assert "super_squash_history('ada/made', repo_type='dataset')" in gone.stdout


def test_verify_finds_an_old_shard_that_was_left_under_another_name(run: Run, tmp_path: Path) -> None:
    old = write_webdataset(tmp_path / "old")
    new = superseding(old, tmp_path / "new")
    (new / "backup.tar").write_bytes((old / "data/pairs/pairs-00000-of-00002.tar").read_bytes())
    assert run("hf", "upload", "ada/left", new, "--repo-type", "dataset").returncode == 0
    found = run("synthdata", "verify", "ada/left", "--absent", old / "manifest.json")
    assert found.returncode == 1, found.stderr
    assert "backup.tar: a shard of the dataset that was taken down\n" in found.stdout


def test_verify_tells_of_a_repository_that_is_not_there(run: Run, tmp_path: Path) -> None:
    old = write_webdataset(tmp_path / "old")
    missed = run("synthdata", "verify", "ada/absent", "--absent", old / "manifest.json")
    assert (missed.returncode, missed.stderr.count("\n")) == (2, 1)
