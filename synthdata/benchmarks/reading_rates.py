"""How fast an emitted dataset is read, next to plain webdataset."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import webdataset

from synthdata.benchmarks.machine import describe_machine
from synthdata.data.dataset_files import DatasetFiles
from synthdata.data.pairs import Pairs, PairsConfig, ShuffledRows, load_pairs
from synthdata.errors import MisuseError
from synthdata.paths import PathText
from synthdata.ranges import PositiveInt


@dataclass
class ReadingRatesConfig:
    """Images read from a dataset's shards beside plain webdataset, in images per second.

    Attributes:
        shards: the directory of a dataset of tar shards.
        rounds: rounds of the measurement; medians are told.
    """

    shards: PathText = "out/digits"
    rounds: PositiveInt = 5


@dataclass(frozen=True)
class ReadingRates:
    """Medians over rounds, in images per second of one process, as uint8 tensors.

    Attributes:
        streaming: decoded as they are read, shuffled; opening and checking the shards included.
        resident: from memory, in batches of 64.
        webdataset: decoded as they are read by plain webdataset, in order.
    """

    streaming: float
    resident: float
    webdataset: float


def reading_table(config: ReadingRatesConfig) -> str:
    """The rates as lines to print."""
    rates = reading_rates(Path(config.shards), config.rounds)
    lines = [
        describe_machine(torch.device("cpu")),
        f"synthdata, streaming      {rates.streaming:10,.0f} images/s",
        f"synthdata, in memory      {rates.resident:10,.0f} images/s",
        f"webdataset                {rates.webdataset:10,.0f} images/s",
        f"streaming / webdataset    {rates.streaming / rates.webdataset:10.2f}",
    ]
    return "\n".join(lines)


def reading_rates(folder: Path, rounds: int) -> ReadingRates:
    """Read all images of a dataset directory of tar shards; rounds are interleaved.

    Raises:
        MisuseError: there is no dataset in ``folder``, or one of Parquet.
    """
    files = DatasetFiles.of(str(folder))
    paths = [str(files.fetch(shard.path)) for shard in files.shards()]
    if not all(path.endswith(".tar") for path in paths):
        raise MisuseError(f"{folder} holds Parquet, which webdataset does not read: emit it with --format webdataset")
    loaded = load_pairs(PairsConfig(str(folder)))
    contenders: dict[str, Callable[[], int]] = {
        "streaming": lambda: _read(load_pairs(PairsConfig(str(folder), resident_gib=0.0))),
        "resident": lambda: _read_resident(loaded),
        "webdataset": lambda: _read_by_webdataset(paths, "torchl8" if loaded.channels == 1 else "torchrgb8"),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):  # the first one warms up
        for name, read in contenders.items():
            start = time.perf_counter()
            images = read()
            if number > 0:
                rates[name].append(images / (time.perf_counter() - start))
    return ReadingRates(**{name: statistics.median(measured) for name, measured in rates.items()})


def _read(pairs: Pairs) -> int:
    images = 0
    for row in ShuffledRows(pairs):
        first, second = pairs[row]
        images += 1 if first is second else 2
    return images


def _read_resident(pairs: Pairs) -> int:
    assert pairs.resident is not None
    pixels, places = pairs.resident
    for rows in torch.tensor(list(ShuffledRows(pairs))).split(64):
        for images in places[rows].unbind(1):
            _ = pixels[images]
    return 2 * len(pairs)


def _read_by_webdataset(paths: list[str], image: str) -> int:
    rows = webdataset.WebDataset(paths, shardshuffle=False).decode(image)
    return sum(isinstance(value, torch.Tensor) for row in rows for value in row.values())
