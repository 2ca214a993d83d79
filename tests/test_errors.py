"""How programs end: one line and an exit code, in real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def start(body: str, **environment: str) -> subprocess.Popen[str]:
    """A program that runs ``body`` within ``one_line_errors``, having printed a line when it is about to."""
    program = f"""
import time
from synthdata.errors import *
from synthdata.errors import Interrupted
with one_line_errors("add --resume true to the same command"):
    print("ready", flush=True)
    {body}
"""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, error = process.communicate(timeout=60)
    return process.returncode, error


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_ends_in_one_line_that_says_how_to_go_on(number: signal.Signals, exit_code: int) -> None:
    process = start("time.sleep(60)")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    assert ended(process) == (exit_code, "stopped; add --resume true to the same command to go on\n")


def test_a_signal_that_comes_twice_ends_in_one_line() -> None:
    process = start("time.sleep(60)")
    assert process.stdout is not None
    process.stdout.readline()
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    code, error = ended(process)
    assert code in (130, 143)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "exit_code", "line"),
    [
        ('MisuseError("a flag\\nis wrong")', 2, "error: a flag is wrong\n"),
        ('FailureError("the disk is full")', 1, "error: the disk is full\n"),
        ('Interrupted(15, "saved as x")', 143, "saved as x\n"),
    ],
)
def test_an_error_ends_in_one_line_and_its_exit_code(raised: str, exit_code: int, line: str) -> None:
    assert ended(start(f"raise {raised}")) == (exit_code, line)


@pytest.mark.parametrize(
    ("taken", "size"),
    [
        ("import numpy; numpy.empty(2**50, 'uint8')", " for 1.00 PiB"),
        ("import torch; torch.empty(2**48)", " for 1,048,576.0 GiB"),
        ("raise MemoryError", ""),
    ],
)
def test_memory_that_is_not_there_is_told_in_one_line_with_its_size(taken: str, size: str) -> None:
    mend = "choose smaller sizes (batch_size, image_size, widths)"
    assert ended(start(taken)) == (1, f"error: there is no memory{size}: {mend}\n")


@pytest.mark.parametrize(
    ("raised", "exit_code", "line"),
    [
        ('MisuseError("a flag is wrong")', 2, ""),
        ('Interrupted(15, "saved as x")', 143, ""),
        ('FailureError("the disk is full")', 1, "error: the disk is full\n"),
    ],
)
def test_of_several_processes_the_first_tells_what_all_of_them_meet(raised: str, exit_code: int, line: str) -> None:
    assert ended(start(f"raise {raised}", RANK="1", WORLD_SIZE="2")) == (exit_code, line)


def test_a_bug_keeps_its_traceback() -> None:
    code, error = ended(start("[][0]"))
    assert code == 1
    assert "IndexError" in error


def test_a_message_of_any_length_ends_in_one_short_line() -> None:
    code, error = ended(start('raise MisuseError("x\\n" * 10**6 + "the end")'))
    assert code == 2
    assert error.startswith("error: x x")
    assert error.endswith("the end\n")
    assert len(error) <= 301
