"""What an emission can be told, with the default of everything."""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from synthdata.errors import MisuseError
from synthdata.job_arrays import array_task
from synthdata.paths import PathText
from synthdata.processes import rank, world_size
from synthdata.ranges import Increasing, NonNegativeInt, PartialShare, PositiveInt, Range, UnitInterval, check_ranges

Format = Literal["webdataset", "parquet"]
ImageFormat = Literal["png", "webp", "jpeg"]
Engine = Literal["local", "ray"]
Quantiles = Annotated[tuple[UnitInterval, UnitInterval], Increasing(strictly=True)]


@dataclass
class DatasetConfig:
    """What every dataset that is written can be told.

    Attributes:
        output: dataset directory to write or to complete; also one of an object store: s3://BUCKET/FOLDER, gs://, az://,
            hf://datasets/OWNER/NAME (where each shard is two commits) or hf://buckets/OWNER/NAME.
        shard_size: rows of a shard.
        seed: of all that is drawn, in [0, 2**63).
        format: "webdataset" writes tar files, "parquet" the same rows as Parquet.
        image_format: "png" and lossless "webp" keep every pixel; "jpeg" does not.
        quality: of "jpeg", 1 to 100.
        license: of the dataset, as the Hub spells it (such as cc-by-4.0); told in the card.
        worker: this process's number, from 0, in a job array of `workers` processes without a launcher; that of the job
            array that a scheduler says it is in (Slurm, PBS, LSF, Grid Engine, AWS Batch, Google Cloud, Kubernetes), if
            not given.
        workers: number of processes of the job array; of PBS and Kubernetes, which do not tell it, to be given.
        page: also write index.html, to look through the rows.
    """

    output: PathText = "out/digits"
    shard_size: PositiveInt = 1000
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    format: Format = "webdataset"
    image_format: ImageFormat = "png"
    quality: Annotated[int, Range(1, 100)] = 95
    license: str | None = None
    worker: NonNegativeInt | None = None
    workers: PositiveInt | None = None
    page: bool = True


@dataclass
class EmissionConfig(DatasetConfig):
    """Samples of a finished run, written as a sharded dataset: hard samples and pairs, or a classifier's replay.

    Attributes:
        run: run directory that the encoder, the generator and the settings are read from.
        hard: rows of the hard samples; 0 for none.
        pairs: rows of the positive pairs; 0 for none.
        pair_source: what pairs grow from. From latents, the images of the generator's two members; anchored, two
            variants of one real image, which is not written itself. Variants are made by a diffusion model, of any arm.
        noise_levels: that anchored pairs start from, each as often; those that the run trained with if not given.
        replay: rows of a run of recipes/distil.py, whose generator learned from a classifier alone; 0 for none.
        oversample: candidates that each row of the hard samples is first chosen from.
        hardness_band: hard samples lie between these quantiles of the hardness of unselected samples. The upper end
            keeps out what is so hard that it is no image.
        similarity_band: pairs lie between these quantiles of the similarity of unselected pairs.
        realism_quantile: nothing is emitted that looks less real than this quantile of the real images, unless it would
            refuse more than a quarter of the unselected samples: then that quarter is refused.
        memorisation_quantile: nothing is emitted that is closer to a training image than this quantile of the
            training images' own distances to their nearest neighbours.
        least_confidence: no replay row is emitted that the classifier is less sure of.
        batch_size: images computed at once, in whole forward batches (64 on a CPU, 256 elsewhere); changes speed and
            memory, never a byte of the shards. One forward batch per core, or two on an accelerator, if not given.
        engine: "local" makes the shards in this process, "ray" in processes of Ray, on a core each.
        engine_address: HOST:PORT of Ray's head, or auto for the cluster that this machine is part of; that of
            RAY_ADDRESS, or else Ray on this machine alone, if not given.
        engine_gpus: GPUs of each process of Ray, such as 0.25; one where this process has one, if not given.
    """

    run: PathText = "runs/digits"
    hard: NonNegativeInt = 0
    pairs: NonNegativeInt = 0
    pair_source: Literal["latents", "anchored"] = "latents"
    noise_levels: Annotated[list[PartialShare], Increasing(strictly=True)] | None = None
    replay: NonNegativeInt = 0
    oversample: Annotated[int, Range(1, 64)] = 4
    hardness_band: Quantiles = (0.5, 0.95)
    similarity_band: Quantiles = (0.1, 0.9)
    realism_quantile: UnitInterval = 0.05
    memorisation_quantile: UnitInterval = 0.05
    least_confidence: UnitInterval = 0.0
    batch_size: PositiveInt | None = None
    engine: Engine = "local"
    engine_address: str | None = None
    engine_gpus: Annotated[float, Range(0, 1)] | None = None


def check_config(config: EmissionConfig) -> None:
    """Raise ``MisuseError`` for a value that is out of its range, or values that do not fit each other."""
    check_ranges(config)
    if config.hard + config.pairs + config.replay == 0:
        raise MisuseError("nothing to emit: hard, pairs and replay are 0; give --hard N, --pairs N or --replay N")
    if config.replay and config.hard + config.pairs:
        raise MisuseError("replay comes from a run without an encoder, hard and pairs from one with: give either")
    if config.pair_source == "anchored" and not config.pairs:
        raise MisuseError("pair_source is anchored, and pairs is 0: give --pairs N")
    if config.noise_levels is not None and (config.pair_source != "anchored" or not config.noise_levels):
        told = f"noise_levels is {config.noise_levels}: anchored pairs want at least one, others none"
        raise MisuseError(f"{told}: leave it out, or give --pair_source anchored")
    if (config.worker or 0) >= (workers := config.workers or 1):
        raise MisuseError(f"worker is {config.worker}: it must be between 0 and {workers - 1}")
    if config.engine == "local":
        if config.engine_address is not None or config.engine_gpus is not None:
            raise MisuseError("engine_address and engine_gpus are for --engine ray: give it, or leave them out")
    elif config.worker is not None or config.workers is not None:
        raise MisuseError("--engine ray deals the shards out itself: leave out --worker and --workers, or --engine")
    elif world_size() > 1:
        raise MisuseError("--engine ray starts processes itself: give the command to one (python recipes/emit.py)")


def join_job_array(config: DatasetConfig) -> None:
    """Give ``config`` the worker and workers of the job array that this process is in, unless it has a worker.

    For programs that do nothing but write a dataset: one that does more may be in an array for another reason, as Ray's
    may.

    Raises:
        MisuseError: the scheduler's variables do not fit together, or do not say enough.
    """
    alone = config.worker is None and not (isinstance(config, EmissionConfig) and config.engine == "ray")
    task = array_task(config.workers) if alone else None
    if task is None:
        return
    config.worker, config.workers = task.worker, task.workers
    if task.workers > 1 and rank() == 0:
        print(
            f"worker {task.worker} of {task.workers} (from 0), as {task.variable} of {task.scheduler} says; "
            "--worker 0 --workers 1 makes all shards here",
            file=sys.stderr,
        )
