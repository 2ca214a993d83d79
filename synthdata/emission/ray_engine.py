"""Shards made by Ray: a task each, dealt out, tried again and spread over nodes that come and go by Ray itself.

A process of Ray's opens the models with the first shard that it makes and keeps them for the others. The process that
the command was given to makes the plan, takes the records, and writes the manifest.
"""

import contextlib
import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from synthdata.emission.config import EmissionConfig
from synthdata.emission.dataset import Engine, RowMaker
from synthdata.emission.manifest import Plan, Record, is_begun, is_finished
from synthdata.emission.plan import Shard
from synthdata.emission.shards import ShardWriter
from synthdata.errors import AGAIN, STOP_SIGNALS, FailureError, MisuseError, SynthdataError, shortened
from synthdata.stores import open_store
from synthdata.stores.local import disk_errors

OpenRows = Callable[[EmissionConfig, str], AbstractContextManager[RowMaker]]

_RETRIES = 20
"""Of one shard, after as many losses of the process or the node that made it: more look like its own doing."""
_QUEUED = 1000
"""Shards that Ray is told of at a time."""
_CONNECT_SECONDS = 10


@dataclass
class _ShardMaker:
    """Makes shards in a process of Ray's.

    Attributes:
        open_rows: opens what makes rows.
        config: the request.
        criteria: of the plan, by kind.
        expected: as of ``ShardWriter``.
        folder: the working directory of whoever gave the command, from which on relative paths are meant.
        makers: what is open, by device.
        opened: keeps it open for as long as the process lives.
    """

    open_rows: OpenRows
    config: EmissionConfig
    criteria: dict[str, Any]
    expected: dict[str, str]
    folder: str
    makers: dict[str, RowMaker] = field(default_factory=dict)
    opened: ExitStack = field(default_factory=ExitStack)

    def make(self, shard: Shard, device: str) -> Record:
        maker, criteria = self._maker(device), self.criteria[shard.kind]
        store, made = open_store(self.config.output), list[Record]()
        writer = ShardWriter(store, self.config, self.expected, tqdm(disable=True))
        blocks = maker.make(shard.kind, criteria, [shard])
        with disk_errors(store):
            writer.write([shard], maker.features(shard.kind), criteria["edges"], blocks, made.append)
        return made[0]

    def _maker(self, device: str) -> RowMaker:
        if device not in self.makers:
            with contextlib.suppress(FileNotFoundError):
                os.chdir(self.folder)
            store = open_store(self.config.output)
            if not (is_begun(store) or is_finished(store)):
                raise MisuseError(
                    f"{store.place} is not there on {socket.gethostname()}: all nodes must see one --output"
                )
            maker = self.opened.enter_context(self.open_rows(self.config, device))
            maker.prepare()
            self.makers[device] = maker
        return self.makers[device]


@contextlib.contextmanager
def on_ray(config: EmissionConfig, open_rows: OpenRows, device: str) -> Iterator[Engine]:
    """Connect to Ray, or start it on this machine; yields the ``dataset.Engine`` that makes shards there.

    Args:
        open_rows: opens what makes rows on a device, which is "cpu", or "cuda" with a number; called in the processes
            of Ray, by each once.
        device: the type of what this process computes on; those of Ray compute on the same.

    Raises:
        MisuseError: Ray is not installed, does not answer, or has GPUs to be used where this process has none.
    """
    gpus = config.engine_gpus if config.engine_gpus is not None else float(device == "cuda")
    if (gpus > 0) != (device == "cuda"):
        raise MisuseError(
            f"engine_gpus is {gpus:g} and this process computes on {device}: give the command where it has what "
            "the others have, so that what it measures fits their rows (ray job submit --entrypoint-num-gpus 1)"
        )
    ray = _connect(config.engine_address or os.environ.get("RAY_ADDRESS") or "local")

    def engine(
        plan: Plan,
        shards: Sequence[Shard],
        expected: dict[str, str],
        progress: tqdm,
        finished: Callable[[Record], None],
    ) -> None:
        restored = {shard.path: expected[shard.path] for shard in shards if shard.path in expected}
        maker = _ShardMaker(open_rows, config, plan["criteria"], restored, os.getcwd())

        def make(shard: Shard) -> Record:
            return maker.make(shard, _leased_device() if gpus else "cpu")

        environment = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"} if gpus else {}
        settings = {"num_cpus": 1, "num_gpus": gpus, "max_calls": 0, "max_retries": _RETRIES}
        task = ray.remote(**settings, runtime_env={"env_vars": environment} if gpus else None)(make)
        with _ray_errors():
            for made in ray.util.map_unordered(task, shards, backpressure_size=_QUEUED, chunk_size=1):
                progress.update(made["rows"])
                finished(made)

    try:
        yield engine
    finally:
        ray.shutdown()


def _leased_device() -> str:
    """The GPU that Ray leased to this task, as PyTorch counts those of the process; the next task may get another."""
    import ray

    (leased,) = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"cuda:{visible.split(',').index(leased) if visible else int(leased)}"


def _connect(address: str) -> Any:
    """Ray's module, connected."""
    try:
        import ray
        import ray.exceptions
        import ray.util
    except ImportError as error:
        raise MisuseError("--engine ray needs Ray: pip install 'synthdata[ray]'") from error
    _check_answer(address)
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    started: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **started)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        raise _no_ray(address, shortened(str(error), 120)) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray has its own for SIGTERM
    return ray


def _check_answer(address: str) -> None:
    """Ray itself would wait for a minute, and end the process."""
    if "://" in address:
        raise MisuseError(f"engine_address is {address}: give HOST:PORT of the head, from a machine of the cluster")
    host, colon, port = address.rpartition(":")
    if colon:
        try:
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            raise _no_ray(address, str(error)) from error


def _no_ray(address: str, reason: str) -> MisuseError:
    return MisuseError(
        f"no Ray answers at {address} ({reason}): start it (ray start --head), or leave out --engine_address for Ray "
        "on this machine alone"
    )


@contextlib.contextmanager
def _ray_errors() -> Iterator[None]:
    """Turn what Ray raises for a task into the error that the task met, or into one line."""
    import ray.exceptions

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SynthdataError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        reason = shortened(str(error), 160)
        raise FailureError(f"Ray lost what made a shard ({reason}): {AGAIN}, finished shards are kept") from error
