"""What every training run does around its loop: device and seed, run directory, loop, report."""

import contextlib
import importlib.metadata
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from tqdm import tqdm

from synthdata.errors import Interrupted, MisuseError, SynthdataError
from synthdata.formats import FinishedReport
from synthdata.models import Encoder, EncoderConfig
from synthdata.run_files import read_run_file
from synthdata.threads import use_idle_cores
from synthdata.training.acceleration import use_fast_kernels
from synthdata.training.collective import on_main_process
from synthdata.training.config import CheckpointConfig
from synthdata.training.figures import save_curves
from synthdata.training.loop import LoopSettings, Training, run_loop
from synthdata.training.run_directory import RunDirectory, writing
from synthdata.training.trackers import check_tracker

LIBRARIES = (
    "synthdata",
    "torch",
    "torchvision",
    "diffusers",
    "peft",
    "accelerate",
    "datasets",
    "numpy",
    "scikit-learn",
)

_SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron",
}
"""Launches that divide a network over the processes, by the variables of ``accelerate launch``."""

Refresh = Callable[[Path], None]
"""Shows what a run directory holds so far."""


class LoopConfig(Protocol):
    """What the loop reads of a training's settings."""

    mixed_precision: Any
    log_every: int


class RunConfig(Protocol):
    """The settings that every kind of run has."""

    output_dir: str
    resume: bool
    tracker: Any
    checkpoint: CheckpointConfig

    @property
    def train(self) -> LoopConfig: ...


def start_accelerator(config: RunConfig) -> Accelerator:
    """Device, processes and precision of a run.

    Raises:
        MisuseError: if the tracker is not installed, or networks were to be divided over the processes.
    """
    check_tracker(config.tracker)
    for variable, name in _SHARDED.items():
        if parse_flag_from_env(variable):
            raise MisuseError(
                f"accelerate was told to divide the networks over processes ({name}), and each process of a training "
                "holds all of them: answer no to it in accelerate config, or use torchrun"
            )
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # without it, processes that torchrun starts on CPUs run apart
        mixed_precision=config.train.mixed_precision,
        log_with=config.tracker,
        project_dir=config.output_dir,
    )
    use_idle_cores(accelerator.device.type)
    use_fast_kernels(accelerator.device, config.train.mixed_precision)
    return accelerator


def build_encoder(config: EncoderConfig, image_size: int, channels: int) -> Encoder:
    """A new encoder, on the CPU."""
    return Encoder(
        config.backbone,
        image_size,
        channels,
        width=config.width,
        hidden_dim=config.hidden_dim,
        projection_dim=config.projection_dim,
    )


def finished_report(config: RunConfig, accelerator: Accelerator) -> dict[str, Any] | None:
    """The report of a run that is to be resumed and has ended, on the first process; None if there is more to do.

    Raises:
        MisuseError: if the run there has another configuration.
    """
    run = RunDirectory(Path(config.output_dir))
    if not config.resume or not run.report.exists():
        return None
    run.open(config, resume=True)
    return dict(read_run_file(run.report, FinishedReport)) if accelerator.is_main_process else {}


def execute(
    training: Training,
    config: RunConfig,
    accelerator: Accelerator,
    finish: Callable[[RunDirectory], dict[str, Any]],
    observe: Callable[[RunDirectory, int], None] | None = None,
    deadline: float | None = None,
    progress: tqdm | None = None,
    refresh: Refresh | None = None,
) -> dict[str, Any]:
    """Open the run directory, run ``training`` to its end, and write the report.

    Args:
        finish: saves what the training made; returns its part of the report, with ``images_seen`` in it.
        observe: called after each iteration with the number of those that are done.
        deadline: when to save and stop, in seconds of ``time.monotonic``; for one of several trainings of a program,
            which share the processes: these then stay.
        progress: the bar of all trainings of such a program.
        refresh: called with the run directory, on the first process, after every quarter of the run, and when it is
            stopped before its end: for whoever looks at it meanwhile.

    Returns:
        The content of report.json, on the first process.

    Raises:
        as ``run_loop`` and ``RunDirectory.open``.
    """
    run = RunDirectory(Path(config.output_dir))
    on_main_process(partial(run.open, config, config.resume), accelerator)
    quarters = {round(training.iterations * quarter / 4) for quarter in range(1, 4)}

    def show() -> None:
        try:
            if refresh and accelerator.is_main_process:
                refresh(run.path)
        except SynthdataError as error:  # what is only looked at never ends a training
            print(f"warning: {error}", file=sys.stderr)

    def observed(done: int) -> None:
        if observe:
            observe(run, done)
        if done in quarters:
            show()

    settings = LoopSettings(
        log_every=config.train.log_every,
        checkpoint_every=config.checkpoint.every,
        keep=config.checkpoint.keep,
        observe=observed,
        deadline=deadline,
        progress=progress,
    )
    with contextlib.ExitStack() as stack:
        # the first process holds the claim for all of them
        on_main_process(lambda: stack.enter_context(run.claimed()), accelerator)
        if config.tracker:
            accelerator.init_trackers("synthdata")
        try:
            return _execute(training, run, settings, accelerator, finish)
        except Interrupted:
            show()
            raise


def _execute(
    training: Training,
    run: RunDirectory,
    settings: LoopSettings,
    accelerator: Accelerator,
    finish: Callable[[RunDirectory], dict[str, Any]],
) -> dict[str, Any]:
    spent = run_loop(training, run, settings, accelerator)

    def finish_and_report() -> dict[str, Any]:
        with writing(run.path / "curves"):
            save_curves(run.metrics, run.path / "curves")
        made = finish(run)
        report = made | {
            "wall_seconds": round(spent.wall, 1),
            "cpu_seconds": round(spent.cpu, 2),
            "images_per_second": round(made["images_seen"] / spent.wall, 1),
            "versions": {"python": platform.python_version()} | _library_versions(),
            "device": device_name(accelerator.device),
            "processes": accelerator.num_processes,
        }
        run.write_json(run.report, report)
        return report

    report = on_main_process(finish_and_report, accelerator)
    if settings.deadline is None:
        accelerator.end_training()
    return report or {}


def summarise(report: dict[str, Any], run: Path) -> str:
    """A short table of a run's scores, its speed, and where things are."""
    rows = {
        "linear top-1": f"{report['linear_top1']:.2f} %" if "linear_top1" in report else None,
        "k-NN top-1": f"{report['knn_top1']:.2f} %" if "knn_top1" in report else None,
        "mean confidence": report.get("mean_confidence"),
        "class entropy": report.get("class_entropy"),
        "images per second": f"{report['images_per_second']:,.0f}",
        "host, linear top-1": f"{report['host_linear_top1']:.2f} %" if "host_linear_top1" in report else None,
        "host, k-NN top-1": f"{report['host_knn_top1']:.2f} %" if "host_knn_top1" in report else None,
        "encoder": run / "encoder" if (run / "encoder").exists() else None,
        "host": run / "host" if (run / "host").exists() else None,
        "generator": run / "generator" if (run / "generator").exists() else None,
        "sample grids": run / "samples" if (run / "samples").exists() else None,
        "report": run / "report.json",
        "page": run / "index.html" if (run / "index.html").exists() else None,
    }
    return "\n".join(f"{name:<18} {value}" for name, value in rows.items() if value is not None)


def device_name(device: torch.device) -> str:
    """What computed, for reports."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)"


def _library_versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
