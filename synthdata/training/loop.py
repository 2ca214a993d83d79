"""The loop around any training: restore, step, report, save, stop."""

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from synthdata.errors import ECHO_SECONDS, STOP_SIGNALS, FailureError, Interrupted
from synthdata.threads import use_threads_again
from synthdata.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint, tensors_of
from synthdata.training.collective import largest_of_processes, on_main_process
from synthdata.training.progress import Progress
from synthdata.training.run_directory import RunDirectory, writing

GO_ON = "add --resume true to the same command"


class Training(Protocol):
    """What the loop needs of a training: iterations that are functions of their number and of the state."""

    @property
    def iterations(self) -> int: ...

    def describe(self, iteration: int) -> dict[str, Any]:
        """The phase, step and images seen at ``iteration``, for the log."""

    def start_at(self, iteration: int) -> None: ...

    def run(self, iteration: int) -> dict[str, Tensor]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class LoopSettings:
    """Attributes:
    log_every: iterations between two lines of metrics.jsonl.
    checkpoint_every: iterations between two checkpoints.
    keep: checkpoints kept.
    observe: called after an iteration, on the first process, to draw samples of the state.
    deadline: when to save and stop, in seconds of ``time.monotonic``; never if not given.
    progress: the bar of all trainings of a program, at the state that is resumed; the run shows its own if not given.
    """

    log_every: int
    checkpoint_every: int
    keep: int
    observe: Callable[[int], None]
    deadline: float | None = None
    progress: tqdm | None = None


class OutOfTime(Interrupted):
    """The run met its deadline, and its state is saved."""


class Spent(NamedTuple):
    """Seconds of this process: that passed, and that its threads were computing in, whatever else the machine did."""

    wall: float = 0.0
    cpu: float = 0.0


def run_loop(training: Training, run: RunDirectory, settings: LoopSettings, accelerator: Accelerator) -> Spent:
    """Run ``training`` from its newest checkpoint, or from the start, to its end.

    Returns:
        What was spent in iterations, over all resumed parts.

    Raises:
        Interrupted: after Ctrl-C, SIGTERM or SIGUSR1, after the last iteration too; the state is saved.
        OutOfTime: at the deadline, likewise.
        FailureError: if a term of a loss is not finite, or the disk is full.
    """
    start, log, before = _restore(training, run, accelerator)
    training.start_at(start)
    began = Spent(time.perf_counter(), time.process_time())

    def spent() -> Spent:
        return Spent(before.wall + time.perf_counter() - began.wall, before.cpu + time.process_time() - began.cpu)

    reached = Progress(run, start, training.iterations) if accelerator.is_main_process else None
    stop = _StopRequests(settings.deadline)
    with stop, _progress(settings, training.iterations, start, accelerator.is_main_process) as progress:
        for iteration in range(start, training.iterations):
            log.add(iteration, training.run(iteration))
            done = iteration + 1
            last = done == training.iterations
            logged = done % settings.log_every == 0 or last
            stopping = stop.agreed(logged)
            saving = done % settings.checkpoint_every == 0 or last or stopping
            if logged or saving:
                log.flush()
            if logged:
                shown = log.write(iteration, training.describe(iteration))
                phase = str(shown.pop("phase"))
                if progress is not settings.progress:
                    progress.set_description(phase)
                progress.set_postfix({key: f"{value:.3g}" for key, value in shown.items()}, refresh=False)
            progress.update()
            if reached and (logged or stopping):
                reached.advance(done, training.describe(iteration)["phase"], ended=last or stopping)
            if accelerator.is_main_process:
                settings.observe(done)
            if saving:
                state = _state(training, log, spent())
                _require_finite(state, iteration, run)
                on_main_process(partial(save_checkpoint, run.checkpoints, done, state, settings.keep), accelerator)
            saved = f"stopped and saved as {run.checkpoints / f'step-{done:09d}'}; {GO_ON} to go on"
            if stopping:
                raise (OutOfTime if stop.received == _DEADLINE else Interrupted)(stop.received, saved)
    return spent()


def _progress(
    settings: LoopSettings, iterations: int, start: int, is_shown: bool
) -> contextlib.AbstractContextManager[tqdm]:
    if settings.progress is not None:
        return contextlib.nullcontext(settings.progress)
    return tqdm(total=iterations, initial=start, disable=not is_shown, dynamic_ncols=True)


def _restore(training: Training, run: RunDirectory, accelerator: Accelerator) -> tuple[int, "_Log", Spent]:
    log = _Log(run, accelerator)
    checkpoint = latest_checkpoint(run.checkpoints)
    start, spent = 0, Spent()
    if checkpoint is not None:
        start, state = load_checkpoint(checkpoint)
        training.load_state_dict(state["training"])
        log.recent, spent = state["recent"], Spent(state["seconds"], state.get("cpu_seconds", 0.0))
        if "threads" in state and accelerator.device.type == "cpu":
            use_threads_again(state["threads"])
    if accelerator.is_main_process:
        run.cut_metrics(start)
    accelerator.wait_for_everyone()
    return start, log, spent


def _state(training: Training, log: "_Log", spent: Spent) -> dict[str, Any]:
    return {
        "training": training.state_dict(),
        "recent": log.recent,
        "seconds": spent.wall,
        "cpu_seconds": spent.cpu,
        "threads": torch.get_num_threads(),
    }


def _require_finite(state: dict[str, Any], iteration: int, run: RunDirectory) -> None:
    """The losses of an iteration are those before its updates: only the state shows what these did."""
    for name, tensor in tensors_of(state):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise _diverged(f"the loss is not finite: {name} became infinite or NaN", iteration, run)


def _diverged(what: str, iteration: int, run: RunDirectory) -> FailureError:
    good = latest_checkpoint(run.checkpoints) or "none yet"
    return FailureError(
        f"{what} at iteration {iteration}; last good checkpoint: {good}; lower the learning rates and start anew"
    )


class _Log:
    """Terms of the losses on their way from the device to metrics.jsonl.

    They stay on the device until ``flush``, so that logging does not make the device wait at every iteration.
    """

    def __init__(self, run: RunDirectory, accelerator: Accelerator) -> None:
        self.recent: dict[str, float] = {}
        self._run, self._accelerator = run, accelerator
        self._pending: list[tuple[int, str, Tensor]] = []

    def add(self, iteration: int, terms: dict[str, Tensor]) -> None:
        self._pending += [(iteration, name, term) for name, term in terms.items()]

    def flush(self) -> None:
        """Bring the pending terms over, as means over the processes, and check that all are finite."""
        if not self._pending:
            return
        device = self._accelerator.device
        values = torch.stack([term.to(device, torch.float32) for _, _, term in self._pending])
        values = self._accelerator.reduce(values, reduction="mean")
        for (iteration, name, _), value in zip(self._pending, values.tolist(), strict=True):
            if not math.isfinite(value):
                raise _diverged(f"the loss is not finite: {name} became {value}", iteration, self._run)
            self.recent[name] = value
        self._pending.clear()

    def write(self, iteration: int, place: dict[str, Any]) -> dict[str, Any]:
        """Append the newest value of every term since the last line; returns phase and terms, for display."""
        terms, self.recent = self.recent, {}
        if self._accelerator.is_main_process:
            with writing(self._run.metrics), self._run.metrics.open("a") as file:
                file.write(json.dumps({"iteration": iteration, **place, **terms}) + "\n")
        self._accelerator.log({f"{place['phase']}/{name}": value for name, value in terms.items()}, step=iteration)
        return {"phase": place["phase"], **terms}


_DEADLINE = 1
"""Stands for a deadline among the numbers of signals, and below those that are caught, which thus come first."""


class _StopRequests:
    """Turns a deadline and ``STOP_SIGNALS`` into a request met between iterations; a later signal is obeyed at once."""

    def __init__(self, deadline: float | None) -> None:
        self.received = 0
        self._deadline = math.inf if deadline is None else deadline
        self._at = math.inf
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "_StopRequests":
        if threading.current_thread() is threading.main_thread():  # elsewhere, signals are those of the host program
            for number in STOP_SIGNALS:
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if error is None and self.received > _DEADLINE:
            signal.raise_signal(self.received)  # it came after the last iteration had looked

    def agreed(self, logged: bool) -> bool:
        """Whether to stop now; several processes ask each other, at logged iterations only."""
        if time.monotonic() >= self._deadline:
            self.received = max(self.received, _DEADLINE)
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return self.received > 0
        if not logged:
            return False
        self.received = largest_of_processes(self.received)
        return self.received > 0

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        self._at = min(self._at, now)
        if now - self._at > ECHO_SECONDS:
            signal.signal(number, self._previous[number])
            signal.raise_signal(number)
        self.received = number
