"""What an emission can be told, with the default of everything."""

from dataclasses import dataclass
from typing import Literal

from synthdata.errors import MisuseError

Format = Literal["webdataset", "parquet"]
ImageFormat = Literal["png", "webp", "jpeg"]


@dataclass
class EmissionConfig:
    """Hard samples and positive pairs of a finished run, written as sharded datasets.

    Attributes:
        run: run directory that the encoder, the generator and the settings are read from.
        output: dataset directory to write or to complete.
        hard: rows of the hard samples; 0 for none.
        pairs: rows of the positive pairs; 0 for none.
        shard_size: rows of a shard.
        seed: of the latents and views, in [0, 2**63).
        format: "webdataset" writes tar files, "parquet" the same rows as Parquet.
        image_format: "png" and lossless "webp" keep every pixel; "jpeg" does not.
        quality: of "jpeg", 1 to 100.
        oversample: candidates that each row of the hard samples is first chosen from.
        hardness_band: hard samples lie between these quantiles of the hardness of unselected samples. The upper end
            keeps out what is so hard that it is no image.
        similarity_band: pairs lie between these quantiles of the similarity of unselected pairs.
        realism_quantile: nothing is emitted that looks less real than this quantile of the real images, unless it would
            refuse more than a quarter of the unselected samples: then that quarter is refused.
        memorisation_quantile: nothing is emitted that is closer to a training image than this quantile of the
            training images' own distances to their nearest neighbours.
        license: of the dataset, as the Hub spells it (such as cc-by-4.0); told in the card.
        batch_size: images computed at once, in whole forward batches (64 on a CPU, 256 elsewhere); changes speed and
            memory, never a byte of the shards. One forward batch per core, or two on an accelerator, if not given.
        worker: this process's number, from 0, in a job array of `workers` processes without a launcher.
        workers: number of processes of the job array.
    """

    run: str = "runs/digits"
    output: str = "out/digits"
    hard: int = 0
    pairs: int = 0
    shard_size: int = 1000
    seed: int = 0
    format: Format = "webdataset"
    image_format: ImageFormat = "png"
    quality: int = 95
    oversample: int = 4
    hardness_band: tuple[float, float] = (0.5, 0.95)
    similarity_band: tuple[float, float] = (0.1, 0.9)
    realism_quantile: float = 0.05
    memorisation_quantile: float = 0.05
    license: str | None = None
    batch_size: int | None = None
    worker: int = 0
    workers: int = 1


def check_config(config: EmissionConfig) -> None:
    """Raise ``MisuseError`` for a value that is out of its range."""
    if config.hard < 0 or config.pairs < 0 or config.hard + config.pairs == 0:
        raise MisuseError(
            f"nothing to emit: hard is {config.hard}, pairs is {config.pairs}; give --hard N or --pairs N"
        )
    _require(config, "shard_size", 1, None)
    _require(config, "seed", 0, 2**63 - 1)
    _require(config, "quality", 1, 100)
    _require(config, "oversample", 1, 64)
    _require(config, "realism_quantile", 0, 1)
    _require(config, "memorisation_quantile", 0, 1)
    _require(config, "workers", 1, None)
    _require(config, "worker", 0, config.workers - 1)
    if config.batch_size is not None:
        _require(config, "batch_size", 1, None)
    for name in ("hardness_band", "similarity_band"):
        low, high = getattr(config, name)
        if not 0 <= low < high <= 1:
            raise MisuseError(f"{name} is [{low}, {high}]: give two increasing quantiles in [0, 1]")


def _require(config: EmissionConfig, name: str, low: float, high: float | None) -> None:
    value = getattr(config, name)
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"between {low} and {high}"
        raise MisuseError(f"{name} is {value}: it must be {allowed}")
