"""How many threads a program computes with, in real processes under real and stand-in launchers."""

import subprocess
import sys
from pathlib import Path

import pytest
from processes import ENVIRONMENT

UNSAID = {name: value for name, value in ENVIRONMENT.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
SAYS_WHETHER_FREE = "from synthdata.threads import is_choice_free; print(is_choice_free())"
LAUNCHER = """
import os, subprocess, sys
environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_MIXED_PRECISION": "no"}
sys.exit(subprocess.call([sys.executable, "-c", sys.argv[1]], env=environment))
"""


def answer(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def test_accelerate_launch_alone_on_a_machine_computes_on_all_idle_cores(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import torch\n"
        "from synthdata import threads\n"
        "threads.idle_cores = lambda: 2.8\n"  # those of the machine that tests are run on are seldom idle
        "threads.use_idle_cores('cpu')\n"
        "print(torch.get_num_threads())\n"
    )
    accelerate = [sys.executable, "-m", "accelerate.commands.launch"]
    assert answer([*accelerate, str(program)], UNSAID) == "3"


@pytest.mark.parametrize(
    ("said", "flags", "free"),
    [
        ({}, [], "True"),
        ({"OMP_NUM_THREADS": "1"}, [], "False"),
        ({"MKL_NUM_THREADS": "1"}, [], "False"),
        ({}, ["--num_cpu_threads_per_process=1"], "False"),
        ({}, ["--num-cpu-threads-per-process", "1"], "False"),
        ({"WORLD_SIZE": "2"}, [], "False"),
    ],
    ids=lambda value: str(value),
)
def test_a_number_of_threads_that_was_said_stays(said: dict[str, str], flags: list[str], free: str) -> None:
    assert answer([sys.executable, "-c", LAUNCHER, SAYS_WHETHER_FREE, *flags], UNSAID | said) == free


def test_without_a_launcher_torch_decides() -> None:
    assert answer([sys.executable, "-c", SAYS_WHETHER_FREE], UNSAID) == "False"


def test_cores_at_work_for_others_and_cores_out_of_reach_do_not_count() -> None:
    program = """
import os, subprocess, sys, time
from synthdata.threads import idle_cores
allowed = sorted(os.sched_getaffinity(0))[:2]
os.sched_setaffinity(0, allowed)
print(idle_cores() <= len(allowed))
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in allowed]
time.sleep(0.5)
print(idle_cores() < 0.5)
for other in others:
    other.kill()
"""
    assert answer([sys.executable, "-c", program], UNSAID) == "True\nTrue"
