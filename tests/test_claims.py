"""A folder that a process works on is refused to others, and to nobody once that process is gone."""

import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from synthdata.claims import claimed, owner
from synthdata.errors import MisuseError

PROCESSES = multiprocessing.get_context("forkserver")


def _hold(path: Path, held: "Event") -> None:
    with claimed(path, "runs/x"):
        worker = os.fork()  # as one that loads images, and outlives a parent that is killed
        if worker:
            path.with_name("worker").write_text(str(worker))
            held.set()
        signal.pause()


def test_a_claim_is_refused_while_its_process_lives_and_free_when_it_was_killed(tmp_path: Path):
    path, held = tmp_path / "lock", PROCESSES.Event()
    process = PROCESSES.Process(target=_hold, args=(path, held))
    process.start()
    assert held.wait(60)
    told = rf"another process is at work on runs/x \(process {process.pid} on .+\): wait until it is done, or stop it"
    with pytest.raises(MisuseError, match=told), claimed(path, "runs/x"):
        pass
    assert owner(path) is not None
    process.kill()
    process.join()
    assert owner(path) is None
    os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)
    with claimed(path, "runs/x"):
        assert path.exists()
    assert not path.exists()


def test_a_link_in_the_place_of_a_claim_is_not_written_through(tmp_path: Path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"), claimed(tmp_path / "lock", "x"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
