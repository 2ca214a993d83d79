"""Real runs, made once for all tests that look at them."""

import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import ForkedRecipe, Running, run_on_two_processes, wait_for
from tiny import tiny_flags

PRETRAIN_STEPS = 30
LONG = {
    "generator__pretrain_steps": PRETRAIN_STEPS,
    "train__steps": 40,
    "train__log_every": 2,
    "checkpoint__every": 7,
    "evaluation__test": False,
}


@dataclass
class Part:
    """How one process of a run ended."""

    exit_code: int
    error: str
    output: str


@dataclass
class LongRuns:
    """One configuration, run without interruption, and run in four parts by what the parts' names say."""

    whole: Path
    interrupted: Path
    killed_in_pretraining: Part
    terminated: Part
    killed: Part
    finished: Part


@pytest.fixture(scope="session")
def long_runs(tmp_path_factory: pytest.TempPathFactory) -> LongRuns:
    folder = tmp_path_factory.mktemp("long")
    whole, interrupted = folder / "whole", folder / "interrupted"
    uninterrupted = ForkedRecipe("joint", tiny_flags(whole, **LONG))
    killed_in_pretraining = _interrupt(interrupted, signal.SIGKILL, random.randrange(1, 10))
    terminated = _interrupt(interrupted, signal.SIGTERM, PRETRAIN_STEPS + random.randrange(1, 8))
    killed = _interrupt(interrupted, signal.SIGKILL, PRETRAIN_STEPS + random.randrange(18, 28))
    finished = _end(ForkedRecipe("joint", tiny_flags(interrupted, resume="true", **LONG)))
    assert _end(uninterrupted).exit_code == 0
    return LongRuns(whole, interrupted, killed_in_pretraining, terminated, killed, finished)


@pytest.fixture(scope="session")
def long_settings() -> dict[str, object]:
    """The settings of `long_runs`."""
    return dict(LONG)


@pytest.fixture(scope="session")
def two_processes_end(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Part]:
    """The directory of a run on two processes, and how it ended."""
    folder = tmp_path_factory.mktemp("two") / "run"
    exit_code, output, error = run_on_two_processes("joint", tiny_flags(folder, **SHARED))
    return folder, Part(exit_code, error, output)


@pytest.fixture(scope="session")
def shared_run(two_processes_end: tuple[Path, Part]) -> Path:
    folder, ended = two_processes_end
    assert ended.exit_code == 0, ended.error
    return folder


SHARED = {
    "seed": 1,  # stays clear of ReLU's kink, where rounding, which differs by CPU, can change a gradient by 3 %
    "generator__pretrain_steps": 8,
    "train__steps": 8,
    "train__accumulation": 2,
    "synthetic__oversample": 2,
    "evaluation__test": False,
    "emission__hard": 8,
    "emission__shard_size": 4,
}


@pytest.fixture(scope="session")
def shared_settings() -> dict[str, object]:
    """The settings of `shared_run`."""
    return dict(SHARED)


def _interrupt(folder: Path, signal_number: int, iteration: int) -> Part:
    """Start or go on with the long run, and send it a signal as soon as it has logged ``iteration``."""
    process = ForkedRecipe("joint", tiny_flags(folder, resume="true", **LONG))
    deadline = time.monotonic() + 250
    while process.poll() is None and time.monotonic() < deadline and _last_iteration(folder) < iteration:
        time.sleep(0.002)
    process.send_signal(signal_number)
    return _end(process)


def _last_iteration(folder: Path) -> int:
    try:
        lines = (folder / "metrics.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        return -1
    return 2 * len(lines) - 1


def _end(process: Running) -> Part:
    exit_code, output, error = wait_for(process)
    return Part(exit_code, error, output)
