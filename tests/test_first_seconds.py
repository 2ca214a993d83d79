"""Ctrl-C while a program still loads its libraries."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import ENVIRONMENT, REPOSITORY, start_recipe, wait_for

STOPPED = "stopped; run the same command again to go on\n"
RECIPES = sorted((REPOSITORY / "recipes").glob("*.py"))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libraries that say when their loading begins, and never end it."""
    folder = tmp_path_factory.mktemp("endless")
    for library in ("huggingface_hub", "jsonargparse", "numpy", "torch"):
        (folder / f"{library}.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(100)\n")
    return folder


def stopped_while_loading(command: list[str], number: signal.Signals, libraries: Path) -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, *command],
        env=ENVIRONMENT | {"PYTHONPATH": f"{libraries}:{REPOSITORY}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(number)
    code, _, error = wait_for(process, 60)
    return code, error


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_ctrl_c_while_a_recipe_loads_ends_in_one_line(recipe: Path, endless: Path) -> None:
    assert stopped_while_loading([str(recipe)], signal.SIGINT, endless) == (130, STOPPED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_command_loads_ends_in_one_line(
    number: signal.Signals, endless: Path, tmp_path: Path
) -> None:
    command = ["-m", "synthdata.cli", "push", str(tmp_path), "OWNER/NAME"]
    assert stopped_while_loading(command, number, endless) == (128 + number, STOPPED)


def test_ctrl_c_amid_the_real_imports_ends_in_one_line(tmp_path: Path) -> None:
    process = start_recipe("joint", [f"--output_dir={tmp_path / 'run'}"])
    while process.poll() is None and "libtorch_python" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, output, error = wait_for(process, 60)
    assert (code, output, error) == (130, "", STOPPED)
    assert not (tmp_path / "run").exists()
