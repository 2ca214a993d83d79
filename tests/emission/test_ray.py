"""Shards made by Ray: on a cluster that loses and gains nodes, and what is told when there is no Ray."""

import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.cluster_utils import Cluster
from ray.exceptions import RayTaskError, WorkerCrashedError

from synthdata.emission.config import EmissionConfig
from synthdata.emission.dataset import Engine, write_dataset
from synthdata.emission.emit import open_rows
from synthdata.emission.kinds import Row
from synthdata.emission.manifest import read_plan, recorded
from synthdata.emission.plan import Shard
from synthdata.emission.ray_engine import _ray_errors, _ShardMaker, on_ray
from synthdata.errors import FailureError, MisuseError
from synthdata.stores import open_store

from .conftest import Emit
from .reading import digests

SHARDS, ROWS = 12, 8
MEMORY = 80 * 2**20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three raylets; the one of the head makes no shards."""
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("RAY_worker_niceness", "0")
        # prompt, but a busy machine is no dead one
        prompt = {"health_check_period_ms": 200, "health_check_failure_threshold": 15}
        head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False, "_system_config": prompt}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
        yield cluster
        cluster.shutdown()


def noise(folder: Path, doomed: str) -> Any:
    """Rows of noise, from functions that Ray sends to its processes; each leaves a file that tells where it was made.

    A node called ``doomed`` never comes to an end with its second shard. The others wait with theirs until it has
    begun that one, and, while it is gone, for a node that was not there at the beginning.
    """

    def begun_by(node: str) -> int:
        return len(list(folder.glob(f"made-*-{node}")))

    def on_node() -> str:
        import ray

        return ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"

    class Noise:
        identity, device = {"rows": "noise"}, "cpu"

        def measure(self) -> dict[str, Any]:
            return {"criteria": {"replay": {"edges": {"confidence": [0.0, 0.5, 1.0]}}}}

        def prepare(self) -> None:
            (folder / f"prepared-{on_node()}").open("a").write("once\n")

        def features(self, kind: str) -> None:
            return None

        def make(self, kind: str, criteria: dict[str, Any], shards: list[Shard]) -> Iterator[list[Row]]:
            node = on_node()
            before = begun_by(node)
            (folder / f"made-{shards[0].name}-{node}").touch()
            if node == doomed and before:
                time.sleep(600)
            while before and doomed and begun_by(doomed) < 2:
                time.sleep(0.05)
            while (folder / "lost").exists() and len(list(folder.glob("prepared-*"))) < 3:
                time.sleep(0.05)
            for index in range(shards[0].first_row, shards[-1].end):
                image = np.random.default_rng(index).integers(0, 256, (8, 8, 1), "uint8")
                told = {"index": index, "seed": 0, "label": 0, "confidence": index % 10 / 10}
                yield [Row("replay", index, (image,), told, candidate_scores=[told["confidence"]])]

    @contextlib.contextmanager
    def open_noise(config: EmissionConfig, device: str) -> Iterator[Any]:
        yield Noise()

    return open_noise


def write_noise(output: Path, opening: Any, engine: Engine | None = None) -> dict[str, str]:
    """The sha256 of the shards of a dataset of noise."""
    config = EmissionConfig(output=str(output), replay=SHARDS * ROWS, shard_size=ROWS)
    with opening(config, "cpu") as maker:
        write_dataset(maker, config, {"replay": config.replay}, "test", engine=engine)
    return digests(output)


def test_a_node_that_is_lost_and_one_that_comes_change_no_byte(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "ray").mkdir()
    expected = write_noise(tmp_path / "one", noise(tmp_path / "here", ""))
    doomed = sorted(cluster.worker_nodes, key=lambda node: node.node_id)[0]
    opening, made = noise(tmp_path / "ray", doomed.node_id), tmp_path / "ray"
    config = EmissionConfig(output=str(tmp_path / "out"), engine="ray", engine_address=cluster.address)
    with on_ray(config, opening, "cpu") as on_cluster:

        def engine(*arguments: Any) -> None:
            *told, finished = arguments
            records = []

            def lose_a_node(record: Any) -> None:
                records.append(record)
                if len(records) == 2:
                    while len(list(made.glob(f"made-*-{doomed.node_id}"))) < 2:
                        time.sleep(0.05)
                    (made / "lost").touch()
                    cluster.remove_node(doomed, allow_graceful=False)
                    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
                finished(record)

            on_cluster(*told, lose_a_node)

        assert write_noise(tmp_path / "out", opening, engine) == expected
    nodes = [path.name for path in made.glob("prepared-*")]
    assert len(nodes) == 3  # the one that was lost, the one that came, and the one that stayed
    assert all((made / node).read_text() == "once\n" for node in nodes)
    assert len(list(made.glob("made-*"))) == SHARDS + 1  # one shard was begun twice


def test_an_error_in_a_process_of_ray_is_the_error_of_the_command() -> None:
    met = RayTaskError("make", "Traceback", FailureError("row 7 found no acceptable sample"))
    with pytest.raises(FailureError, match=r"^row 7 found no acceptable sample$"), _ray_errors():
        raise met.as_instanceof_cause()
    with pytest.raises(FailureError, match=r"Ray lost what made a shard .* finished shards are kept"), _ray_errors():
        raise WorkerCrashedError


def test_a_process_of_ray_makes_the_shards_of_a_run(
    emit_to: Emit, dataset: Path, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # to where that process goes
    output = tmp_path / "out"
    emit_to(output, worker=0, workers=2)
    plan = read_plan(output)
    assert plan is not None
    config = EmissionConfig(run=str(run_folder), output="out", hard=30, pairs=20, shard_size=8)
    maker = _ShardMaker(open_rows, config, plan["criteria"], {}, str(tmp_path))
    with maker.opened:
        records = [maker.make(Shard(**shard), "cpu") for shard in plan["shards"]]
    assert {made["path"]: made["sha256"] for made in records} == digests(dataset)
    for path, made in recorded(open_store(output), plan).items():
        assert made in records, path


def test_an_output_that_a_node_does_not_see_is_named(tmp_path: Path) -> None:
    config = EmissionConfig(output="out", hard=1)
    maker = _ShardMaker(open_rows, config, {"hard": {}}, {}, str(tmp_path))
    with pytest.raises(MisuseError, match=rf"{tmp_path}/out is not there on {socket.gethostname()}"):
        maker.make(Shard("data/hard/x", "hard", 0, 1), "cpu")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"engine_address": "auto"}, "engine_address and engine_gpus are for --engine ray"),
        ({"engine": "ray", "workers": 2}, "leave out --worker and --workers"),
        ({"engine": "ray", "engine_address": "ray://127.0.0.1:10001"}, "give HOST:PORT of the head"),
        ({"engine": "ray", "engine_address": "127.0.0.1:1"}, r"no Ray answers at 127\.0\.0\.1:1 \(.*refused"),
        ({"engine": "ray", "engine_address": "127.0.0.1:port"}, r"no Ray answers at 127\.0\.0\.1:port"),
        ({"engine": "ray", "engine_gpus": 0.5}, "engine_gpus is 0.5 and this process computes on cpu"),
    ],
)
def test_what_does_not_fit_ray_is_named(emit_to: Emit, tmp_path: Path, changes: dict[str, object], named: str) -> None:
    with pytest.raises(MisuseError, match=named):
        emit_to(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_without_ray_its_pip_line_is_named(emit_to: Emit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MisuseError, match=r"pip install 'synthdata\[ray\]'"):
        emit_to(tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()
