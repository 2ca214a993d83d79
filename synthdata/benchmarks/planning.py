"""What a dataset costs beside its rows: plan, records, resume, manifest and a look at every size."""

import hashlib
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch

from synthdata.benchmarks.machine import describe_machine
from synthdata.emission.encoding import EncodedRow
from synthdata.emission.kinds import KINDS, Kind
from synthdata.emission.manifest import begin, finish_dataset, read_plan, record, recorded
from synthdata.emission.plan import check_shard_count, plan_shards
from synthdata.emission.tally import Tally
from synthdata.emission.verify import verify_dataset
from synthdata.ranges import PositiveInt, Range
from synthdata.stores import LocalStore

_KIND: Kind = "hard"
_EDGES = {name: [number / 50 for number in range(51)] for name in ("hardness", "realism", "nearest_similarity")}


@dataclass
class PlanningConfig:
    """Everything that an emission does but making rows, in seconds, with shards that are empty.

    Attributes:
        rows: of the dataset, such as 1e7.
        shard_size: rows of a shard.
    """

    rows: Annotated[float, Range(1, 1e12)] = 1e7
    shard_size: PositiveInt = 1000


@dataclass
class Step:
    """Seconds that a step took, those of them that computed, and the growth of this process's memory so far in MiB."""

    name: str
    seconds: float
    cpu: float
    mebibytes: float


def planning_table(config: PlanningConfig) -> str:
    """The steps as lines to print."""
    lines = [describe_machine(torch.device("cpu")), f"{config.rows:,.0f} rows, {config.shard_size:,} in a shard"]
    with tempfile.TemporaryDirectory(prefix="synthdata-") as folder:
        steps = planning_steps(int(config.rows), config.shard_size, Path(folder))
        lines += [f"{s.name:<34} {s.seconds:8.2f} s, {s.cpu:8.2f} s CPU {s.mebibytes:8,.0f} MiB more" for s in steps]
    return "\n".join(lines)


def planning_steps(rows: int, shard_size: int, folder: Path) -> list[Step]:
    """Plan a dataset in ``folder``, record its shards as if they were made, finish and verify it.

    Raises:
        MisuseError: it would have more shards than a dataset may have.
    """
    store, before = LocalStore(folder), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    steps: list[Step] = []

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started, computed = time.perf_counter(), time.process_time()
        yield
        seconds, cpu = time.perf_counter() - started, time.process_time() - computed
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        steps.append(Step(name, seconds, cpu, more))

    with timed("plan"):
        check_shard_count(rows, shard_size)
        shards = plan_shards(_KIND, rows, shard_size, "webdataset")
        (folder / ".emission").mkdir()
        plan = begin(store, _plan([asdict(shard) for shard in shards]))
    empty = {"bytes": 0, "sha256": hashlib.sha256().hexdigest(), "summary": _summary()}
    with timed(f"{len(shards):,} records, on the disk"):
        (folder / "data" / _KIND).mkdir(parents=True)
        for shard in shards:
            (folder / shard.path).touch()
            record(store, {**asdict(shard), **empty})
    with timed("what a resumed emission reads"):
        plan = read_plan(store) or plan
        assert len(recorded(store, plan)) == len(shards)
    with timed("manifest"):
        finish_dataset(store)
    with timed("verify"):
        assert verify_dataset(store) == []
    return steps


def _plan(shards: list[dict[str, Any]]) -> dict[str, Any]:
    model = {"class": "Model", "sha256": {}}
    source = {"data": "digits", "images": 1, "image_size": 8, "channels": 1}
    rules = {"kind": _KIND, "seed": 0, "oversample": 1, "band": [0.0, 1.0], "realism_floor": 0.0, "copy_distance": 0.0}
    selected = {"seed": 0, "image_format": "png", "quality": 95, "license": None, "memorisation_quantile": 0.05}
    return {
        "settings": {"format": "webdataset", **selected},
        "run": {"encoder": model, "generator": model, "source": source, "temperature": 0.2},
        "criteria": {_KIND: {**rules, "edges": _EDGES}},
        "made_with": {"command": "recipes/benchmark.py plan", "versions": {}},
        "shards": shards,
    }


def _summary() -> dict[str, Any]:
    """Of a shard with one row."""
    tally = Tally(_KIND, _EDGES)
    scores = dict.fromkeys(_EDGES, 0.5)
    dropped = type(tally.dropped)(dict.fromkeys(KINDS[_KIND].reasons, 0))
    row = EncodedRow(0, "0", {}, "png", scores, dropped, [0.5])
    assert list(tally.counting([row])) == [row]
    return tally.summary()
