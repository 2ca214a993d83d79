"""Samples of a finished run, as a dataset."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from datasets import Features

from synthdata.emission.anchors import noise_levels
from synthdata.emission.compute import ModelThreads, embed_real_images
from synthdata.emission.config import EmissionConfig, check_config
from synthdata.emission.criteria import Criteria, draw_reference, measure_criteria
from synthdata.emission.dataset import Emission, RowMaker, check_output, write_dataset
from synthdata.emission.encoding import parquet_features
from synthdata.emission.fidelity import measure_fidelity
from synthdata.emission.guard import RealNeighbours
from synthdata.emission.kinds import Kind, Row
from synthdata.emission.plan import Shard
from synthdata.emission.ray_engine import on_ray
from synthdata.emission.replay import ReplayRows, load_replay_run
from synthdata.emission.run import Run, load_run
from synthdata.emission.scoring import forward_batch
from synthdata.emission.selection import selected_rows
from synthdata.processes import local_rank
from synthdata.reading import checked
from synthdata.threads import use_idle_cores

PROGRAM = "accelerate launch recipes/emit.py"


def emit(config: EmissionConfig) -> Emission:
    """Write samples of a run as a dataset directory, or complete an interrupted one.

    Card and page are left to the caller: ``publishing.complete.complete_dataset``.

    Raises:
        MisuseError: a setting out of range, a run directory that cannot be used; and as ``write_dataset``.
        FailureError: as ``write_dataset``.
    """
    check_config(config)
    check_output(config.output)
    device = compute_device()
    use_idle_cores(device.type)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(on_ray(config, open_rows, device.type)) if config.engine == "ray" else None
        maker = stack.enter_context(open_rows(config, str(device)))
        return write_dataset(maker, config, _rows(config), PROGRAM, engine=engine)


def emit_run(run: Run, config: EmissionConfig, device: torch.device) -> Emission:
    """``emit`` for models and images that are open already, the models on ``device``."""
    with deterministic(), ModelThreads(run, device, compute_threads(config, device)) as models:
        return write_dataset(Samples(config, models), config, _rows(config), PROGRAM)


@contextlib.contextmanager
def open_rows(config: EmissionConfig, device_name: str) -> Iterator[RowMaker]:
    """Open the run, with its models on the device of this name; yields the maker of its rows.

    Raises:
        MisuseError: a run directory that cannot be used.
    """
    folder, device = Path(config.run), torch.device(device_name)
    threads = compute_threads(config, device)
    with deterministic(), contextlib.ExitStack() as stack:
        if config.replay:
            replay = load_replay_run(folder, device)
            yield ReplayRows(config, stack.enter_context(ModelThreads(replay, device, threads)))
        else:
            run = load_run(folder, device)
            yield Samples(config, stack.enter_context(ModelThreads(run, device, threads)))


class Samples:
    """The ``RowMaker`` of a run's samples."""

    def __init__(self, config: EmissionConfig, models: ModelThreads[Run]) -> None:
        self.config = config
        self.models = models
        self.identity = models.run.identity
        self.device = models.device.type

    def measure(self) -> dict[str, Any]:
        kinds = [kind for kind, rows in _rows(self.config).items() if rows]
        references = {kind: draw_reference(kind, self.config, self.models, self.real) for kind in kinds}
        criteria = {kind: measure_criteria(reference, self.config) for kind, reference in references.items()}
        return {
            "training": self.models.run.training,
            "criteria": {kind: asdict(rules) for kind, rules in criteria.items()},
            "fidelity": {kind: measure_fidelity(references[kind], criteria[kind], self.models) for kind in kinds},
        }

    def prepare(self) -> None:
        _ = self.real

    def features(self, kind: Kind) -> Features:
        return parquet_features(kind, {"noise_levels": noise_levels(kind, self.config, self.models.run)})

    def make(self, kind: Kind, criteria: dict[str, Any], shards: Sequence[Shard]) -> Iterator[list[Row]]:
        return selected_rows(self.models, self.real, checked(criteria, Criteria), shards)

    @cached_property
    def real(self) -> RealNeighbours:
        """The training images, embedded once."""
        return embed_real_images(self.models)


def _rows(config: EmissionConfig) -> dict[Kind, int]:
    return {"hard": config.hard, "pairs": config.pairs, "replay": config.replay}


def deterministic() -> contextlib.AbstractContextManager[None]:
    """Entered around what makes rows."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


def compute_device() -> torch.device:
    """Where this process of a launcher computes."""
    if torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU"):
        return torch.device("cuda", local_rank() % torch.cuda.device_count())
    return torch.device("cpu")


def compute_threads(config: EmissionConfig, device: torch.device) -> int:
    """Forward passes that go on side by side, to have ``config.batch_size`` images in the works.

    If that is not given, one for each core; on an accelerator, one computes while the other's results are looked at.
    """
    if config.batch_size is not None:
        return -(-config.batch_size // forward_batch(device))
    return torch.get_num_threads() if device.type == "cpu" else 2
