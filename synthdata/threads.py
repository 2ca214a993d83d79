"""How many CPU threads a program computes with, where nobody has said it.

``accelerate launch`` gives one process a single thread, as if others shared the machine. ``use_idle_cores`` gives it
the cores that nobody uses; whoever knows where a program computes calls it, before it does.
"""

import math
import os
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

import psutil

from synthdata.processes import world_size

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_FLAG = re.compile(r"--num[_-]cpu[_-]threads[_-]per[_-]process(=|$)")
_LOOK_SECONDS = 0.2
_NEARLY = 0.25
"""Of a core: what may be at work beside a program that still counts as alone."""

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@cache
def use_idle_cores(device_type: str) -> None:
    """Compute on all idle physical cores where ``accelerate launch`` gave the only process of a run one thread unasked.

    What a person said stays: OMP_NUM_THREADS, MKL_NUM_THREADS, or accelerate's --num_cpu_threads_per_process. Cores at
    work for others are left to them, since threads that wait for each other on a busy core take many times longer
    than one thread alone. Looks once in the life of a program, so that all of it computes alike.

    Args:
        device_type: what the program computes on, as torch calls it; nothing changes if that is not "cpu".
    """
    if device_type == "cpu" and is_choice_free():
        _set_threads(idle_cores() + _NEARLY)


def use_threads_again(threads: int) -> None:
    """Go on with the threads that work was begun with, for the same bits, unless somebody said another number."""
    if is_choice_free():
        _set_threads(min(threads, _usable_cores()))


def _set_threads(cores: float) -> None:
    import torch  # slow to import, and what else is here needs none of it

    torch.set_num_threads(max(1, int(cores)))


@cache
def is_choice_free() -> bool:
    """Whether the number of threads is the one that ``accelerate launch`` sets unasked."""
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ and os.environ.get("OMP_NUM_THREADS") == "1"
    if not launched or world_size() > 1:
        return False
    try:
        launcher = psutil.Process(os.getppid())
        told, arguments = launcher.environ(), launcher.cmdline()
    except psutil.Error:
        return False
    return not any(name in told for name in _VARIABLES) and not any(_FLAG.match(argument) for argument in arguments)


def idle_cores() -> float:
    """Physical cores that this process may use and that nobody, itself included, uses while it looks on."""
    busy = psutil.cpu_percent(_LOOK_SECONDS, percpu=True)
    idle = [1 - busy[core] / 100 for core in _allowed() if core < len(busy)]
    return _usable_cores() * sum(idle) / max(1, len(idle))


def _usable_cores() -> float:
    """Physical cores that this process may use, busy or not."""
    return min(psutil.cpu_count(logical=False) or math.inf, len(_allowed()), _quota())


def _allowed() -> Collection[int]:
    """The numbers of the logical cores that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def _quota() -> float:
    """Cores that a container may use by its share of time."""
    try:
        share, period = _QUOTA.read_text().split()
        return int(share) / int(period)
    except (OSError, ValueError):  # no such limit: none of that name, or the word max
        return math.inf
