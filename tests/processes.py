"""Real processes for the tests: the recipes as a user starts them, and two that compute together."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.multiprocessing as mp

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def start_recipe(name: str, flags: list[str], processes: int = 1) -> subprocess.Popen[str]:
    """Start ``recipes/<name>.py``, under torchrun if on several processes."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [*launcher, str(REPOSITORY / "recipes" / f"{name}.py"), *flags],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], seconds: float = 250) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a recipe, which is ended with its workers if it takes longer."""
    try:
        output, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output, error


class TwoProcesses:
    """Two processes of one gloo group, kept for many calls since starting them takes seconds."""

    def __init__(self, folder: Path) -> None:
        context = mp.get_context("spawn")
        pipes = [context.Pipe() for _ in range(2)]
        self._connections = [ours for ours, _ in pipes]
        rendezvous = f"file://{folder}/rendezvous"
        self._processes = [
            context.Process(target=_serve, args=(rank, rendezvous, theirs), daemon=True)
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
