"""Signals that meet a training at its very end."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from synthdata import threads
from synthdata.errors import Interrupted
from synthdata.training.checkpoint import latest_checkpoint
from synthdata.training.loop import LoopSettings, run_loop
from synthdata.training.run_directory import RunDirectory

SETTINGS = LoopSettings(log_every=2, checkpoint_every=4, keep=1, observe=lambda done: None)


class Counting:
    """Three iterations, the last of which, or the last saving, meets Ctrl-C."""

    iterations = 3

    def __init__(self, signal_in: str) -> None:
        self.count = torch.zeros(())
        self._signal_in = signal_in

    def describe(self, iteration: int) -> dict[str, Any]:
        return {"phase": "counting", "step": iteration}

    def start_at(self, iteration: int) -> None:
        pass

    def run(self, iteration: int) -> dict[str, torch.Tensor]:
        self.count = self.count + 1
        if iteration == 2 and self._signal_in == "run":
            signal.raise_signal(signal.SIGINT)
        return {"count": self.count}

    def state_dict(self) -> dict[str, Any]:
        if self._signal_in == "state_dict":
            signal.raise_signal(signal.SIGINT)
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path)
    run.checkpoints.mkdir()
    return run


def test_ctrl_c_in_the_last_iteration_saves_and_stops(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Interrupted, match="step-000000003; add --resume true"):
        run_loop(Counting("run"), run, SETTINGS, Accelerator(cpu=True))
    resumed = Counting("nowhere")
    capsys.readouterr()
    run_loop(resumed, run, SETTINGS, Accelerator(cpu=True))
    assert resumed.count == 3
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "0/3" not in shown


def test_ctrl_c_while_the_last_state_is_saved_reaches_the_program(run: RunDirectory) -> None:
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = signal.signal(signal.SIGINT, receive)
    try:
        run_loop(Counting("state_dict"), run, SETTINGS, Accelerator(cpu=True))
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT]
    assert latest_checkpoint(run.checkpoints) is not None


@pytest.mark.parametrize(("free", "expected"), [(True, 2), (False, 1)])
def test_a_resumed_run_computes_with_its_first_threads_unless_others_are_asked_for(
    run: RunDirectory, free: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "is_choice_free", lambda: free)
    monkeypatch.setattr(threads, "_usable_cores", lambda: 4)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run_loop(Counting("nowhere"), run, SETTINGS, Accelerator(cpu=True))
        torch.set_num_threads(1)
        run_loop(Counting("nowhere"), run, SETTINGS, Accelerator(cpu=True))
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
