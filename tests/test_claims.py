"""A folder that a process works on is refused to others, and to nobody once that process is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthdata.claims import claimed, owner
from synthdata.errors import MisuseError

HOLD = """
import os, signal, sys, time
from pathlib import Path
from synthdata.claims import claimed
with claimed(Path(sys.argv[1]), "runs/x"):
    worker = os.fork()  # as one that loads images, and outlives a parent that is killed
    if worker:
        print(worker, flush=True)
    time.sleep(600)
"""


def test_a_claim_is_refused_while_its_process_lives_and_free_when_it_was_killed(tmp_path: Path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        told = (
            rf"another process is at work on runs/x \(process {process.pid} on .+\): wait until it is done, or stop it"
        )
        with pytest.raises(MisuseError, match=told), claimed(path, "runs/x"):
            pass
        assert owner(path) is not None
        process.kill()
        process.wait()
        assert owner(path) is None
        with claimed(path, "runs/x"):
            assert path.exists()
        assert not path.exists()
        os.kill(worker, signal.SIGKILL)


def test_a_link_in_the_place_of_a_claim_is_not_written_through(tmp_path: Path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"), claimed(tmp_path / "lock", "x"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
