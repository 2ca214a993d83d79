"""A generator that has memorised its training images."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from synthdata.data import to_float
from synthdata.models import Generator, Member
from synthdata.rng import BatchRandom


class ReplayingGenerator(Generator):
    """Replays training images, each chosen by its latent, in a given share of the samples.

    The other samples are smooth random images. Its two members replay different images.

    Args:
        images: (N, C, H, W) uint8 to replay.
        share: share of the samples that are replays.
        noise: standard deviation of what is added to the pixels of replays, in units of [0, 1].
    """

    latent_shape = (70,)

    def __init__(self, images: Tensor, share: float, noise: float = 0.0) -> None:
        super().__init__()
        self.images = nn.Buffer(to_float(images))
        self.share, self.noise = share, noise
        self.channels, self.image_size = images.shape[1], images.shape[3]

    def sample(self, latents: Tensor, member: Member = "a", averaged: bool = False) -> Tensor:
        uniform = torch.special.ndtr(latents[:, :3])
        shift = 0 if member == "a" else 1
        chosen = (uniform[:, 0] * len(self.images)).long().add(shift) % len(self.images)
        wiggle = nn.functional.interpolate(latents[:, 6:].reshape(-1, 1, 8, 8), size=self.image_size)
        replays = self.images[chosen] + 2 * self.noise * wiggle
        smooth = nn.functional.interpolate(latents[:, 2:6].reshape(-1, 1, 2, 2), size=self.image_size, mode="bilinear")
        return torch.where((uniform[:, 1] < self.share)[:, None, None, None], replays, smooth + 0.1 * shift)

    def realism(self, images: Tensor) -> Tensor:
        return -images.square().mean((1, 2, 3))

    def pretraining_loss(self, real: Tensor, random: BatchRandom) -> Tensor:
        raise NotImplementedError

    def realism_loss(self, member: Member, images: Tensor, real: Tensor, random: BatchRandom) -> Tensor:
        raise NotImplementedError

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        return []

    def begin_tuning(self) -> None:
        raise NotImplementedError

    def update_average(self, decay: float) -> None:
        raise NotImplementedError

    def save_pretrained(self, folder: Path) -> None:
        raise NotImplementedError
