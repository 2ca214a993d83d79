"""How fast contrastive training is, next to lightly's SimCLR loop with the same encoder, batch and views."""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from synthdata.benchmarks.machine import synchronise
from synthdata.benchmarks.profiling import random_images
from synthdata.data import RealData
from synthdata.data.decode import PixelFormat
from synthdata.errors import MisuseError
from synthdata.models import EncoderConfig
from synthdata.ranges import PositiveInt
from synthdata.training.acceleration import compile_networks, to_device
from synthdata.training.config import TrainConfig
from synthdata.training.contrast import build_contrast
from synthdata.training.contrast_config import ContrastConfig
from synthdata.training.execution import build_encoder, start_accelerator
from synthdata.training.optimisation import encoder_optimizer, step_optimizer


@dataclass
class ThroughputConfig:
    """Contrastive training against another library's, on random RGB images in memory.

    Attributes:
        peer: the other library; its augmentations run in worker processes.
        image_size: side of the images in pixels.
        rounds: turns of each, one after the other; medians are told.
        steps: optimiser steps of a turn.
        workers: worker processes of the peer; one for each CPU core if not given.
        encoder: of both.
        train: of both: batch size, learning rate, temperature, precision.
    """

    peer: Literal["lightly"] = "lightly"
    image_size: PositiveInt = 32
    rounds: PositiveInt = 5
    steps: PositiveInt = 8
    workers: PositiveInt | None = None
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class Throughput:
    """Medians over rounds, in images (anchors, of two views each) per second.

    Attributes:
        ours: of ``ContrastTraining``.
        peer: of the other library's loop.
        workers: worker processes that the peer had.
    """

    ours: float
    peer: float
    workers: int


def throughput_table(config: ThroughputConfig) -> str:
    """The rates of both libraries as lines to print.

    Raises:
        MisuseError: as ``measure_throughput``.
    """
    rates = measure_throughput(config)
    lines = [
        f"SimCLR, {config.encoder.backbone} at {config.image_size} px, batch {config.train.batch_size}",
        f"synthdata                 {rates.ours:10,.0f} images/s",
        f"{f'{config.peer}, {rates.workers} workers':<25} {rates.peer:10,.0f} images/s",
        f"synthdata / {config.peer:<13} {rates.ours / rates.peer:10.2f}",
    ]
    return "\n".join(lines)


def measure_throughput(config: ThroughputConfig) -> Throughput:
    """Time SimCLR in both libraries; rounds are interleaved, so that a busy machine is fair to both.

    Raises:
        MisuseError: lightly is not installed, or there are several processes.
    """
    settings = ContrastConfig(train=config.train, encoder=config.encoder)
    accelerator = start_accelerator(settings)
    if accelerator.num_processes > 1:
        raise MisuseError(f"throughput is measured on one process, not {accelerator.num_processes}")
    workers = config.workers or os.cpu_count() or 1
    data = random_images(4 * config.train.batch_size, PixelFormat(3, config.image_size), seed=0)
    peer = _LightlyLoop(config, data, workers, accelerator)
    # Steps enough that the schedule does not end.
    train = replace(config.train, steps=(config.rounds + 1) * config.steps)
    training = build_contrast(replace(settings, train=train), data, None, accelerator)
    iterations = count()
    seconds: list[tuple[float, float]] = []
    for _ in range(config.rounds + 1):
        ours = _seconds(lambda: training.run(next(iterations)), config.steps, accelerator.device)
        with peer.turn():
            theirs = _seconds(peer.step, config.steps, accelerator.device)
        seconds.append((ours, theirs))
    images, warm = config.steps * config.train.batch_size, seconds[1:]
    ours, theirs = (images / statistics.median(turns) for turns in zip(*warm, strict=True))
    return Throughput(ours, theirs, workers)


class _LightlyLoop:
    """lightly's SimCLR example: its transform in worker processes, its loss, and a plain loop.

    The strengths of the views are those of ``ViewConfig.simclr``, which leaves out the example's blur.
    """

    def __init__(self, config: ThroughputConfig, data: RealData, workers: int, accelerator: Accelerator) -> None:
        try:
            from lightly.loss import NTXentLoss
            from lightly.transforms import SimCLRTransform
        except ImportError as error:
            raise MisuseError("the peer lightly is not installed: pip install 'synthdata[contrast]'") from error
        train, device = config.train, accelerator.device
        self._device, self._autocast, self._rate = device, accelerator.autocast, train.learning_rate
        transform = SimCLRTransform(input_size=config.image_size, cj_strength=0.5, gaussian_blur=0.0)
        dataset = _TransformedImages(data.train.gather(), transform)
        # What the workers prepare ahead. As much is read before and after what is timed, so that they are as busy
        # while the clock runs as in a long training.
        self._ahead = 2 * workers
        batches = config.steps + 2 * self._ahead
        self._loader = DataLoader(
            dataset,
            train.batch_size,
            sampler=RandomSampler(dataset, replacement=True, num_samples=batches * train.batch_size),
            num_workers=workers,
            persistent_workers=True,
            pin_memory=device.type == "cuda",
        )
        self._encoder = build_encoder(config.encoder, config.image_size, channels=3)
        to_device(self._encoder, device)
        if train.compile:
            compile_networks(self._encoder, None, device)
        self._loss = NTXentLoss(train.temperature)
        self._optimizer = encoder_optimizer(self._encoder, train.optimizer, train.learning_rate, train.weight_decay)
        self._batches: Iterator[list[Tensor]] = iter(())

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Have the workers at full speed inside, and idle afterwards."""
        self._batches = iter(self._loader)
        for _ in range(self._ahead):
            self.step()
        yield
        for _ in self._batches:
            pass

    def step(self) -> None:
        """One step of the optimiser, inside a turn."""
        view_1, view_2 = (view.to(self._device, non_blocking=True) for view in next(self._batches))
        with self._autocast():
            embeddings_1, embeddings_2 = self._encoder(view_1), self._encoder(view_2)
        self._loss(embeddings_1.float(), embeddings_2.float()).backward()
        step_optimizer(self._optimizer, self._rate)


class _TransformedImages(Dataset[Any]):
    """Images in memory, as torchvision's datasets have them, and two views of each."""

    def __init__(self, pixels: Tensor, transform: Callable[[Image.Image], list[Any]]) -> None:
        self._pixels, self._transform = pixels.permute(0, 2, 3, 1).contiguous().numpy(), transform

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self._transform(Image.fromarray(self._pixels[index]))


def _seconds(step: Callable[[], object], steps: int, device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(device)
    return time.perf_counter() - start
