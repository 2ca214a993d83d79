"""The errors that end in one line: what was wrong, with its value, and the mend. Any other that escapes is a bug."""

import contextlib
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from synthdata.processes import rank


class SynthdataError(Exception):
    """Base of the errors written for the person who caused them."""

    exit_code = 1


class MisuseError(SynthdataError):
    """The request cannot be met as given: a wrong flag, a missing folder, data that does not fit."""

    exit_code = 2


class FailureError(SynthdataError):
    """The request was sound and something failed on the way: a full disk, a corrupt shard, a silent Hub."""


class Interrupted(SynthdataError):  # noqa: N818
    """The program was asked to stop, and what it had is saved; the message tells how to go on."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


AGAIN = "run the same command again"
"""What a person does to go on with a program that finds by itself what it had."""

MAX_LENGTH = 300
"""Of a message: what it quotes may have any length."""


def shortened(text: str, length: int = MAX_LENGTH) -> str:
    """``text`` in one line of printable characters, at most ``length`` of them; what is too much is left out inside."""
    ends = text if len(text) <= 4 * length else f"{text[: 2 * length]} {text[-2 * length :]}"
    line = "".join(character if character.isprintable() else "\ufffd" for character in " ".join(ends.split()))
    if len(line) <= length:
        return line
    head = (length - 3) * 2 // 3
    return f"{line[:head]} … {line[head + 3 - length :]}"


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C, what ends a job, and what a scheduler sends some time before (Slurm's ``--signal=USR1@120``)."""

ECHO_SECONDS = 1.0
"""A signal that follows another so soon is the same request: launchers pass on a Ctrl-C that processes see already."""


@contextlib.contextmanager
def one_line_errors(go_on: str = AGAIN) -> Iterator[None]:
    """End the program with one line on stderr and an exit code instead of a traceback.

    ``error: …`` and the error's exit code; or, for Ctrl-C, SIGTERM and SIGUSR1, what to do to go on, and 130, 143 or
    138. Misuse and signals are seen by all processes of a run alike and told by the first, so that one cause gives one
    line; a failure may meet any of them.

    Args:
        go_on: what a person does to go on after such a signal.
    """
    stops: list[int] = []
    handler = _stop_handler(stops)
    afterwards: dict[int, Any] = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
    try:
        yield
    except Interrupted as error:
        _end(str(error), error.exit_code, rank() == 0)
    except SynthdataError as error:
        _end(f"error: {error}", error.exit_code, isinstance(error, FailureError) or rank() == 0)
    except (MemoryError, RuntimeError) as error:
        refused = _refused_allocation(error)
        if refused is None:
            raise
        _end(f"error: {refused}", FailureError.exit_code, told=True)
    except KeyboardInterrupt:
        afterwards = dict.fromkeys(afterwards, signal.SIG_IGN)  # the program ends: nothing is left to be stopped
        _end(f"stopped; {go_on} to go on", 128 + (stops or [signal.SIGINT])[-1], rank() == 0)
    finally:
        for number, after in afterwards.items():
            signal.signal(number, after)


@contextlib.contextmanager
def interruptible_imports() -> Iterator[None]:
    """End the program with one line on Ctrl-C, SIGTERM and SIGUSR1 while its libraries load, which takes seconds.

    There is nothing to clean up yet, and an exception could be lost in one of the callbacks that imports run: the
    program ends where it is.
    """
    before = {number: signal.signal(number, _end_at_once) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    if rank() == 0:
        os.write(2, f"stopped; {AGAIN} to go on\n".encode())  # a print may be what was interrupted
    os._exit(128 + number)


def _refused_allocation(error: MemoryError | RuntimeError) -> str | None:
    """One line on memory that Python, NumPy or PyTorch did not get; None for other errors."""
    text = str(error)
    if isinstance(error, RuntimeError) and "allocate memory" not in text and "out of memory" not in text:
        return None
    found = re.search(r"allocate (\d[\d.,]*) ?(bytes|[KMGTPE]i?B)", text)
    size = f" for {found[1]} {found[2]}" if found else ""
    if found and found[2] == "bytes":
        size = f" for {int(found[1].replace(',', '')) / 2**30:,.1f} GiB"
    return f"there is no memory{size}: choose smaller sizes (batch_size, image_size, widths)"


def _stop_handler(stops: list[int]) -> Callable[[int, FrameType | None], None]:
    """Raises ``KeyboardInterrupt``, which libraries may raise again as their own, and notes the signal in ``stops``."""
    first = math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        echo = first <= now < first + ECHO_SECONDS
        first = min(first, now)
        if not echo:
            stops.append(number)
            raise KeyboardInterrupt

    return stop


def _end(message: str, exit_code: int, told: bool) -> None:
    if told:
        print(shortened(message), file=sys.stderr)
    sys.exit(exit_code)
