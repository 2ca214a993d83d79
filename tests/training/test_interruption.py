"""Real runs, stopped on the way by real signals, against one that never was."""

import itertools
import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from processes import kill, start_recipe, wait_for
from safetensors.torch import load_file
from tiny import tiny_flags


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = sorted([*(run / "encoder").rglob("*.safetensors"), *(run / "generator").rglob("*.safetensors")])
    assert len(files) == 4
    return {f"{file.relative_to(run)}:{name}": value for file in files for name, value in load_file(file).items()}


def test_a_run_stopped_by_signals_ends_with_the_weights_of_one_never_stopped(long_runs: Any) -> None:
    assert long_runs.finished.exit_code == 0, long_runs.finished.error
    expected, found = weights(long_runs.whole), weights(long_runs.interrupted)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_run_stopped_by_signals_leaves_the_metrics_of_one_never_stopped(long_runs: Any) -> None:
    expected = (long_runs.whole / "metrics.jsonl").read_text()
    assert len(expected.splitlines()) == 35
    assert (long_runs.interrupted / "metrics.jsonl").read_text() == expected


def test_a_run_stopped_by_signals_has_the_scores_of_one_never_stopped(long_runs: Any) -> None:
    reports = [json.loads((run / "report.json").read_text()) for run in (long_runs.whole, long_runs.interrupted)]
    for report in reports:
        for measured in ("wall_seconds", "cpu_seconds", "images_per_second"):
            assert report.pop(measured) > 0
    assert reports[0] == reports[1]


def test_the_kills_hit_running_processes(long_runs: Any) -> None:
    assert long_runs.killed_in_pretraining.exit_code == -signal.SIGKILL
    assert long_runs.killed.exit_code == -signal.SIGKILL


def test_sigterm_saves_and_says_how_to_go_on(long_runs: Any) -> None:
    assert long_runs.terminated.exit_code == 128 + signal.SIGTERM
    assert re.search(
        r"stopped and saved as \S+step-\d{9}; add --resume true to the same command", long_runs.terminated.error
    )
    assert "Traceback" not in long_runs.terminated.error


def test_a_run_stopped_by_signals_tells_its_parts_and_their_time(long_runs: Any) -> None:
    whole, interrupted = (
        json.loads((run / "progress.json").read_text()) for run in (long_runs.whole, long_runs.interrupted)
    )
    assert (whole["iteration"], interrupted["iteration"]) == (70, 70)
    assert [(part["from"], part["to"]) for part in whole["parts"]] == [(0, 70)]
    parts = interrupted["parts"]
    assert [part["ended"] is None for part in parts] == [True, False, True, False]
    for before, after in itertools.pairwise(parts):
        assert after["from"] % 7 == 0 or after["from"] == before["to"]  # a checkpoint, or where SIGTERM had it saved
        assert after["from"] <= before["to"] + 7
    counted = sum(phase["iterations"] for phase in interrupted["phases"].values())
    assert counted == sum(part["to"] - part["from"] for part in parts)
    assert all(phase["seconds"] > 0 for phase in interrupted["phases"].values())
    text = (long_runs.interrupted / "index.html").read_text()
    assert text.count("not told: it was killed, or it goes on") == 2


def test_the_last_checkpoints_are_kept(long_runs: Any) -> None:
    names = sorted(path.name for path in (long_runs.interrupted / "checkpoints").iterdir())
    assert names == ["step-000000063", "step-000000070"]


def test_a_worker_that_is_killed_is_started_again_by_torchrun_and_ends_with_the_same_weights(
    long_runs: Any, long_settings: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    again = ["--standalone", "--nproc-per-node=1", "--max-restarts=1"]
    torchrun = start_recipe("joint", tiny_flags(run, resume="true", **long_settings), again)
    try:
        deadline = time.monotonic() + 250
        while torchrun.poll() is None and time.monotonic() < deadline and not list(run.glob("checkpoints/step-*")):
            time.sleep(0.002)
        (worker,) = psutil.Process(torchrun.pid).children()
        worker.kill()
        exit_code, _, error = wait_for(torchrun)
    finally:
        kill(torchrun)
    assert exit_code == 0, error
    killed, resumed = json.loads((run / "progress.json").read_text())["parts"]
    assert (killed["from"], killed["ended"]) == (0, None)
    assert 0 < resumed["from"] < resumed["to"]
    expected, found = weights(long_runs.whole), weights(run)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
