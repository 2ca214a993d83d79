"""A dataset from elsewhere cannot lead out of its folder: nothing outside is read, and nothing is written."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthdata.data import PairsConfig, load_pairs
from synthdata.emission import finish_dataset, read_manifest, verify_dataset
from synthdata.emission.manifest import read_plan
from synthdata.errors import FailureError, SynthdataError
from synthdata.publishing.card import write_dataset_card

from .conftest import Emit

SHARD = "data/hard/hard-00001-of-00004.tar"


@pytest.fixture
def out(dataset: Path, tmp_path: Path) -> Path:
    """A finished dataset beside a file that belongs to somebody else."""
    (tmp_path / "precious").write_text("mine")
    return Path(shutil.copytree(dataset, tmp_path / "out"))


def change(file: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def begin(out: Path) -> Path:
    """Make ``out`` an emission whose first worker is done; returns its work folder."""
    work, manifest = out / ".emission", read_manifest(out)
    work.mkdir()
    (work / "plan.json").write_text(json.dumps(read_plan(out)))
    (out / "manifest.json").unlink()
    assert manifest["shards"]
    return work


@pytest.mark.parametrize(
    "path", ["../precious", "data/hard/../../../precious", "data/hard/hard-00001-of-00009.tar", ""]
)
def test_a_manifest_that_names_another_path_is_refused_by_whoever_reads_it(out: Path, emit_to: Emit, path: str):
    change(out / "manifest.json", lambda manifest: manifest["shards"][1].update(path=path))
    (out / "README.md").unlink()
    for use in (
        verify_dataset,
        emit_to,
        finish_dataset,
        write_dataset_card,
        lambda folder: load_pairs(PairsConfig(str(folder))),
    ):
        with pytest.raises(
            FailureError, match=rf"shards\[1\]\.path is .*: it must be {SHARD}; restore|it must be {SHARD}\)"
        ):
            use(out)
    assert (out.parent / "precious").read_text() == "mine"


def test_an_absolute_path_is_refused(out: Path, emit_to: Emit):
    change(out / "manifest.json", lambda manifest: manifest["shards"][0].update(path=str(out.parent / "precious")))
    with pytest.raises(FailureError, match=r"shards\[0\]\.path"):
        emit_to(out)
    assert (out.parent / "precious").read_text() == "mine"


def test_a_plan_that_names_another_path_is_refused(out: Path, emit_to: Emit):
    work = begin(out)
    change(work / "plan.json", lambda plan: plan["shards"][0].update(path="../precious"))
    for use in (emit_to, finish_dataset):
        with pytest.raises(FailureError, match=r"plan\.json is damaged \(shards\[0\]\.path"):
            use(out)
    assert (out.parent / "precious").read_text() == "mine"


def test_a_plan_with_a_kind_that_leads_elsewhere_is_refused(out: Path, emit_to: Emit):
    work = begin(out)
    change(
        work / "plan.json",
        lambda plan: plan["shards"][0].update(kind="../..", path="data/../../../..-00000-of-00001.tar"),
    )
    with pytest.raises(FailureError, match=r"shards\[0\]\.kind"):
        emit_to(out)


@pytest.mark.parametrize(
    ("field", "value"), [("path", "../precious"), ("kind", "pairs"), ("first_row", 3), ("rows", 1), ("bytes", -1)]
)
def test_a_record_of_another_shard_is_refused(emit_to: Emit, tmp_path: Path, field: str, value: object):
    emit_to(tmp_path / "out", worker=0, workers=2)
    record = tmp_path / "out/.emission/hard-00000-of-00004.tar.json"
    change(record, lambda content: content.update({field: value}))
    with pytest.raises(FailureError, match=rf"{record.name} is damaged \({field} is .*remove it"):
        emit_to(tmp_path / "out", worker=1, workers=2)
    record.unlink()
    emit_to(tmp_path / "out")
    assert verify_dataset(tmp_path / "out") == []


@pytest.mark.parametrize("linked", ["data", "data/hard", ".emission", "assets"])
def test_a_folder_that_is_a_link_out_of_the_dataset_is_not_written_through(out: Path, emit_to: Emit, linked: str):
    outside = out.parent / "outside"
    if (out / linked).exists():
        shutil.move(out / linked, outside)
    else:
        outside.mkdir()
    before = {path: path.stat().st_mtime_ns for path in outside.rglob("*")}
    (out / linked).symlink_to(outside)
    if linked.startswith("data"):
        next(outside.rglob(Path(SHARD).name)).unlink()
        assert verify_dataset(out)
    with pytest.raises(FailureError, match="leads out of the folder"):
        emit_to(out)
    assert {path for path in outside.rglob("*")} <= before.keys()


def test_a_link_in_the_place_of_a_shard_is_named_and_replaced(out: Path, emit_to: Emit):
    (out / SHARD).unlink()
    (out / SHARD).symlink_to(out.parent / "precious")
    assert verify_dataset(out) == [f"{SHARD}: a link that leads out of the folder, or nowhere"]
    emit_to(out)
    assert verify_dataset(out) == []
    assert (out.parent / "precious").read_text() == "mine"


@pytest.mark.parametrize("target", ["nowhere", "data/hard/loop.tar"])
def test_a_dangling_link_among_shards_is_named(out: Path, target: str):
    (out / SHARD).unlink()
    (out / SHARD).symlink_to(out / target)
    (out / "data/hard/loop.tar").symlink_to(out / "data/hard/loop.tar")
    problems = verify_dataset(out)
    assert len(problems) == 2
    assert problems[0].startswith(SHARD)
    with pytest.raises(SynthdataError, match=r"hard-00001"):
        load_pairs(PairsConfig(str(out)))


def test_a_pipe_in_the_place_of_a_shard_is_named(out: Path):
    (out / SHARD).unlink()
    os.mkfifo(out / SHARD)
    assert verify_dataset(out) == [f"{SHARD}: no regular file"]
    (out / "manifest.json").unlink()
    os.mkfifo(out / "manifest.json")
    with pytest.raises(FailureError, match="no regular file"):
        verify_dataset(out)


def test_links_in_the_place_of_temporary_files_are_not_followed(out: Path, emit_to: Emit):
    (out / SHARD).unlink()
    (out / "README.md").unlink()
    work = out / ".emission"
    work.mkdir()
    precious = out.parent / "precious"
    for link in (
        out / ".README.md.partial",
        work / f"{Path(SHARD).name}.{os.getpid()}.part",
        out / f".manifest.json.{os.getpid()}",
    ):
        link.symlink_to(precious)
    emit_to(out)
    assert verify_dataset(out) == []
    assert precious.read_text() == "mine"
