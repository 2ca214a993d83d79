"""Shards made by the tasks of datatrove's executor for one machine."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from processes import REPOSITORY, ForkedRecipe, wait_for

from synthdata.emission import verify_dataset

from .reading import digests

TASKS = 2


def emit_by_tasks(run_folder: Path, output: Path, at_once: int) -> dict[str, str]:
    """The sha256 of the shards that the recipe leaves in ``output``."""
    emission = [f"--run={run_folder}", f"--output={output}", "--hard=30", "--pairs=20", "--shard_size=8"]
    flags = [*emission, "--page=false", f"--tasks={TASKS}", f"--at_once={at_once}"]
    exit_code, _, error = wait_for(ForkedRecipe("datatrove/emit", flags))
    assert exit_code == 0, error
    return digests(output)


@pytest.fixture(scope="module")
def emitted(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("datatrove") / "out"
    emit_by_tasks(run_folder, output, at_once=TASKS)
    return output


@pytest.fixture(scope="module")
def marks(emitted: Path) -> Path:
    """Where datatrove keeps what it knows of the tasks."""
    return emitted.with_name("out-datatrove") / f"{TASKS}-tasks"


def test_tasks_of_datatrove_make_the_shards_of_one_process(emitted: Path, marks: Path, dataset: Path) -> None:
    assert digests(emitted) == digests(dataset)
    assert verify_dataset(emitted) == []
    assert sorted(path.name for path in (marks / "completions").iterdir()) == ["00000", "00001"]


def test_a_task_that_lost_its_mark_and_a_shard_makes_that_shard_again(
    emitted: Path, marks: Path, dataset: Path, run_folder: Path
) -> None:
    (marks / "completions" / "00001").unlink()
    (emitted / "data/hard/hard-00003-of-00004.tar").unlink()
    kept = {path: path.stat().st_mtime_ns for path in [*emitted.rglob("*.tar"), marks / "logs" / "task_00000.log"]}
    assert emit_by_tasks(run_folder, emitted, at_once=1) == digests(dataset)
    assert verify_dataset(emitted) == []
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    (step,) = json.loads((marks / "stats" / "00001.json").read_text())
    assert step["stats"]["rows made"]["total"] == 6


def test_without_datatrove_its_pip_line_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "datatrove.data", None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "recipes" / "datatrove" / "emit.py"), run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: datatrove is not installed: pip install 'synthdata[datatrove]'\n"
