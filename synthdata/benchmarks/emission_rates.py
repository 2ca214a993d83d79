"""How fast an emission is, next to the forward passes that it is made of."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

import torch

from synthdata.benchmarks.machine import describe_machine, open_device, peak_mebibytes
from synthdata.emission.compute import ModelThreads, embed_real_images
from synthdata.emission.config import EmissionConfig
from synthdata.emission.criteria import draw_reference, measure_criteria
from synthdata.emission.emit import compute_threads, emit_run
from synthdata.emission.plan import plan_shards
from synthdata.emission.run import Run, load_run
from synthdata.emission.scoring import forward_batch
from synthdata.emission.selection import selected_rows
from synthdata.paths import PathText
from synthdata.ranges import PositiveInt
from synthdata.rng import latents_at

Kind = Literal["hard", "pairs"]


@dataclass
class EmissionRatesConfig:
    """A whole emission beside its generator's bare forward pass, and beside choosing rows without writing them.

    Memory is told as well: measure 1,000 and 100,000 rows to see that it does not grow.

    Attributes:
        run: directory of a finished run.
        kind: rows to make.
        rows: rows of a turn.
        repeats: turns; medians are told.
        device: cpu, cuda, cuda:1, …; a GPU where there is one, if not given.
    """

    run: PathText = "runs/digits"
    kind: Kind = "hard"
    rows: PositiveInt = 2000
    repeats: PositiveInt = 3
    device: str | None = None


@dataclass(frozen=True)
class EmissionRates:
    """Generated images per second of one process, counting every candidate, emitted or not.

    Attributes:
        generator: the generator's bare forward pass.
        selection: forward pass, scores and choice.
        emission: the same with encoding and writing.
        rows: emitted rows per second.
    """

    generator: float
    selection: float
    emission: float
    rows: float


def emission_table(config: EmissionRatesConfig) -> str:
    """The rates of one kind of rows as lines to print, with their ratios and the peak memory of this process.

    Raises:
        MisuseError: the run cannot be used, or there is no such device.
    """
    device = open_device(config.device)
    rates = emission_rates(load_run(Path(config.run), device), config.kind, config.rows, device, config.repeats)
    lines = [
        describe_machine(device),
        f"generator, bare forward   {rates.generator:10,.0f} images/s",
        f"selection                 {rates.selection:10,.0f} images/s",
        f"emission                  {rates.emission:10,.0f} images/s   {rates.rows:,.0f} rows/s",
        f"emission / generator      {rates.emission / rates.generator:10.2f}",
        f"emission / selection      {rates.emission / rates.selection:10.2f}",
        f"peak RSS at {config.rows:,} rows: {peak_mebibytes(torch.device('cpu')):,.0f} MiB",
    ]
    return "\n".join(lines)


def emission_rates(run: Run, kind: Kind, rows: int, device: torch.device, repeats: int = 3) -> EmissionRates:
    """Measure ``rows`` rows of ``kind``: each rate is the median of ``repeats`` turns, taken in turn.

    The preparation (embedding the real images, measuring the criteria) is not counted.
    """
    turns = [_turn(run, kind, rows, device) for _ in range(repeats)]
    return EmissionRates(*(median(rates) for rates in zip(*turns, strict=True)))


def _turn(run: Run, kind: Kind, rows: int, device: torch.device) -> tuple[float, float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        config = EmissionConfig(output=str(Path(folder, kind)), shard_size=rows)
        config = replace(config, hard=rows) if kind == "hard" else replace(config, pairs=rows)
        with ModelThreads(run, device, compute_threads(config, device)) as models:
            real = embed_real_images(models)
            criteria = measure_criteria(draw_reference(kind, config, models, real), config)
            blocks = selected_rows(models, real, criteria, plan_shards(kind, rows, rows, config.format))
            members = 1 if kind == "hard" else 2
            images, selecting = _timed(
                lambda: members * sum(len(row.candidate_scores) for block in blocks for row in block)
            )
            passes = -(-images // forward_batch(device))
            generated, generating = _timed(lambda: _generate(models, passes))
        emission = emit_run(run, config, device)
    return generated / generating, images / selecting, images / emission.seconds, rows / emission.seconds


def _generate(models: ModelThreads, passes: int) -> int:
    """Generate ``passes`` forward batches, as images on the CPU; returns the number of images."""
    size = forward_batch(models.device)
    latents = latents_at(0, torch.arange(size), models.run.generator.latent_shape).to(models.device)

    def sample(run: Run, latents: torch.Tensor) -> int:
        return len(run.generator.sample(latents, averaged=True).cpu())

    return sum(models.map(sample, [latents] * passes))


def _timed(work: Callable[[], int]) -> tuple[int, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started
