"""Real runs, stopped outside the loop: while they load images, and while they score what they have trained."""

import contextlib
import json
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from processes import ForkedRecipe, Running, wait_for
from tiny import tiny_config, tiny_flags

from synthdata.training import train_joint

STOPPED = "stopped; add --resume true to the same command to go on"
SCORING = {"train__steps": 2, "evaluation__generated": 8000, "evaluation__labels": [10]}


@dataclass
class Stopped:
    """How a run ended, and its directory."""

    exit_code: int
    error: str
    run: Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stopped")


@pytest.fixture(scope="module")
def scoring(folder: Path) -> Running:
    return ForkedRecipe("joint", tiny_flags(folder / "scoring", **SCORING))


@pytest.fixture(scope="module")
def stopped_loading(folder: Path, scoring: Running) -> Stopped:
    """Stopped while it reads images, of which there are enough for seconds."""
    images, run = folder / "images", folder / "loading"
    images.mkdir()
    Image.new("L", (2500, 2500)).save(images / "0.png")
    for number in range(1, 600):
        shutil.copyfile(images / "0.png", images / f"{number}.png")
    process = ForkedRecipe("joint", tiny_flags(run, data__source=f"imagefolder:{images}"))
    while process.poll() is None and not _reads_in(images, process):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    exit_code, _, error = wait_for(process)
    return Stopped(exit_code, error, run)


def _reads_in(folder: Path, process: Running) -> bool:
    """Whether ``process`` has a file of ``folder`` open."""
    for handle in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it may have been closed since
            if handle.readlink().is_relative_to(folder) and handle.readlink().suffix == ".png":
                return True
    return False


@pytest.fixture(scope="module")
def stopped_scoring(folder: Path, scoring: Running) -> Stopped:
    run = folder / "scoring"
    while scoring.poll() is None and not (run / "encoder").exists():  # saved after the generator, and scored then
        time.sleep(0.002)
    scoring.send_signal(signal.SIGTERM)
    exit_code, _, error = wait_for(scoring)
    return Stopped(exit_code, error, run)


def test_ctrl_c_while_loading_ends_in_one_line(stopped_loading: Stopped) -> None:
    assert (stopped_loading.exit_code, stopped_loading.error) == (130, f"{STOPPED}\n")
    assert not stopped_loading.run.exists()


def test_sigterm_while_scoring_ends_in_one_line_after_the_progress_bar(stopped_scoring: Stopped) -> None:
    assert stopped_scoring.exit_code == 143
    assert stopped_scoring.error.splitlines()[-1] == STOPPED
    assert "Traceback" not in stopped_scoring.error


def test_a_run_stopped_while_scoring_only_scores_when_it_is_resumed(stopped_scoring: Stopped) -> None:
    run = stopped_scoring.run
    assert not (run / "report.json").exists()
    kept = ["metrics.jsonl", "encoder/model.safetensors", "generator/generator/diffusion_pytorch_model.safetensors"]
    before = {name: (run / name).read_bytes() for name in kept}
    checkpoints = {path: path.stat().st_mtime_ns for path in (run / "checkpoints").rglob("*")}
    report = train_joint(tiny_config(run, resume=True, **SCORING))
    assert {"linear_top1", "linear_10_labels_top1", "frechet_distance"} <= report.keys()
    assert json.loads((run / "report.json").read_text()) == report
    assert {name: (run / name).read_bytes() for name in kept} == before
    assert {path: path.stat().st_mtime_ns for path in (run / "checkpoints").rglob("*")} == checkpoints
