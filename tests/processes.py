"""Real processes for the tests: the recipes as a user starts them, and two that compute together."""

import contextlib
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch.distributed as dist

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    ["synthdata.training", "synthdata.takedown", "synthdata.federated", "synthdata.emission", "synthdata.publishing"]
)


class Running(Protocol):
    """A recipe at work, of which `subprocess.Popen` is one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def send_signal(self, number: int) -> None: ...

    def communicate(self, *, timeout: float) -> tuple[str, str]: ...


class ForkedRecipe:
    """A recipe in a process that begins with the imports of all recipes done, which take seconds."""

    def __init__(self, name: str, flags: list[str], **variables: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._texts = [Path(self._folder.name) / stream for stream in ("output", "error")]
        self._process = _FORKING.Process(target=_run_recipe, args=(name, flags, variables, *self._texts))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative after a signal; nothing while it is at work."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended since
                os.kill(self.pid, number)

    def communicate(self, *, timeout: float) -> tuple[str, str]:
        """Standard output and standard error, at the end."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        output, error = (path.read_text() if path.exists() else "" for path in self._texts)
        return output, error


def run_on_two_processes(name: str, flags: list[str]) -> tuple[int, str, str]:
    """A recipe, or the program of this path, as torchrun starts it: the worse exit code, and what both said."""
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    return _wait_for_both([ForkedRecipe(name, flags, RANK=rank, LOCAL_RANK=rank, **shared) for rank in ("0", "1")])


def run_on_two_nodes(name: str, flags: list[str]) -> tuple[int, str, str]:
    """A recipe on one process of each of two nodes, whose torchruns meet on this machine; as `run_on_two_processes`."""
    meet = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{_free_port()}", "--local-addr=127.0.0.1"]
    torchrun = ["--nnodes=2", "--nproc-per-node=1", *meet]
    return _wait_for_both([start_recipe(name, flags, torchrun) for _ in range(2)])


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _wait_for_both(processes: Sequence[Running]) -> tuple[int, str, str]:
    try:
        codes, outputs, errors = zip(*(wait_for(process) for process in processes), strict=True)
    finally:
        for process in processes:
            kill(process)
    return max(codes, key=abs), "".join(outputs), "".join(errors)


def _run_recipe(name: str, flags: list[str], variables: dict[str, str], output: Path, error: Path) -> None:
    os.setsid()
    for text, stream in ((output, 1), (error, 2)):
        os.dup2(os.open(text, os.O_CREAT | os.O_WRONLY), stream)
    os.environ.update(ENVIRONMENT | variables)
    multiprocessing.set_start_method(None, force=True)  # not that of these tests
    recipe = str(REPOSITORY / "recipes" / f"{name}.py")
    sys.argv = [recipe, *flags]
    runpy.run_path(recipe, run_name="__main__")


def start_recipe(name: str, flags: list[str], torchrun: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start ``recipes/<name>.py``, under torchrun if that has settings."""
    launcher = [sys.executable]
    if torchrun:
        launcher += ["-m", "torch.distributed.run", *torchrun]
    return subprocess.Popen(
        [*launcher, str(REPOSITORY / "recipes" / f"{name}.py"), *flags],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: Running, seconds: float = 250) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a recipe, which is ended with its workers if it takes longer."""
    try:
        output, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    exit_code = process.poll()
    assert exit_code is not None
    return exit_code, output, error


def kill(process: Running) -> None:
    """End a recipe, if it has not ended, with its workers: those of torchrun are in sessions of their own."""
    if process.poll() is None:
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()


class TwoProcesses:
    """Two processes of one gloo group, kept for many calls since starting them takes seconds."""

    def __init__(self, folder: Path) -> None:
        pipes = [_FORKING.Pipe() for _ in range(2)]
        self._connections = [ours for ours, _ in pipes]
        rendezvous = f"file://{folder}/rendezvous"
        self._processes = [
            _FORKING.Process(target=_serve, args=(rank, rendezvous, theirs), daemon=True)
            for rank, (_, theirs) in enumerate(pipes)
        ]
        for process in self._processes:
            process.start()

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``function(rank, *arguments)`` in both processes at once; their results in order of rank."""
        for connection in self._connections:
            connection.send((function, arguments))
        results = [connection.recv() for connection in self._connections]
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def stop(self) -> None:
        for connection, process in zip(self._connections, self._processes, strict=True):
            connection.send(None)
            process.join(30)


def _serve(rank: int, rendezvous: str, connection: Connection) -> None:
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    while (call := connection.recv()) is not None:
        function, arguments = call
        try:
            connection.send(function(rank, *arguments))
        except BaseException as error:
            connection.send(error)
    dist.destroy_process_group()
