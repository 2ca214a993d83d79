"""A compact residual generator and discriminator for 16 to 128 px.

Both compute in channels-last order, which the convolutions of CPUs and of tensor cores prefer.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn


def _widths(image_size: int, width: int, max_width: int) -> list[int]:
    """Channels at 4, 8, …, ``image_size`` px: ``width`` at full size, doubling with every halving."""
    levels = int(math.log2(image_size // 4))
    return [min(width * 2 ** (levels - level), max_width) for level in range(levels + 1)]


def _pixel_norm(x: Tensor) -> Tensor:
    """Scale the (N, C, H, W) channels of each pixel to unit mean square (Karras et al., ICLR 2018, section 4.2).

    It stands in for batch norm, which would make an image depend on the others of its batch.
    """
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _he_init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, 0.2)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class _UpBlock(nn.Module):
    """Doubles the resolution: two convolutions after pixel norm, and a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(_pixel_norm(x), 0.2)
        y = self.conv_2(F.leaky_relu(_pixel_norm(self.conv_1(_upsample(x))), 0.2))
        return (y + _upsample(self.shortcut(x))) / math.sqrt(2)


class ResidualGenerator(ModelMixin, ConfigMixin):
    """Unconditional residual generator, its last features gated by its first (skip-layer excitation).

    The gate lets the layout at 4 px choose among full-size features directly, and shortens the way of the gradient
    (Liu et al., ICLR 2021, section 3.1). There are neither batch statistics nor noise inputs: an image depends on its
    latent and the weights alone.

    Args:
        image_size: 16, 32, 64 or 128 pixels.
        channels: channels of the images.
        latent_dim: dimension of the latents.
        width: channels at full size; they double with every halving of the resolution.
        max_width: the most channels of any layer.
    """

    @register_to_config
    def __init__(
        self, image_size: int, channels: int, latent_dim: int = 64, width: int = 16, max_width: int = 128
    ) -> None:
        super().__init__()
        widths = _widths(image_size, width, max_width)
        self.from_latent = nn.Linear(latent_dim, widths[0] * 16)
        self.blocks = nn.ModuleList([_UpBlock(inputs, outputs) for inputs, outputs in pairwise(widths)])
        self.excitation = nn.Sequential(
            nn.Conv2d(widths[0], widths[0], 4), nn.SiLU(), nn.Conv2d(widths[0], widths[-1], 1), nn.Sigmoid()
        )
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.apply(_he_init)

    def forward(self, latents: Tensor) -> Tensor:
        """Standard normal latents (N, latent_dim) to images (N, C, H, W) in [−1, 1]."""
        layout = self.from_latent(latents).unflatten(1, (-1, 4, 4)).contiguous(memory_format=torch.channels_last)
        x = layout
        for block in self.blocks:
            x = block(x)
        # The sigmoid starts near a half: doubled, the gate starts near 1.
        gate = 2 * self.excitation(layout)
        return self.to_image(F.leaky_relu(_pixel_norm(x), 0.2) * gate).tanh()


class _DownBlock(nn.Module):
    """Halves the resolution: two convolutions, and a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv_2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.conv_1(x), 0.2)
        y = F.leaky_relu(F.avg_pool2d(self.conv_2(y), 2), 0.2)
        return (y + self.shortcut(F.avg_pool2d(x, 2))) / math.sqrt(2)


class Discriminator(ModelMixin, ConfigMixin):
    """Residual discriminator without batch statistics.

    Its first convolution has stride 2: with layers at full size a training step on a CPU takes a fifth longer.

    Args: as for ``ResidualGenerator``.
    """

    @register_to_config
    def __init__(self, image_size: int, channels: int, width: int = 16, max_width: int = 128) -> None:
        super().__init__()
        widths = _widths(image_size, width, max_width)[-2::-1]
        self.from_image = nn.Conv2d(channels, widths[0], 4, stride=2, padding=1)
        self.blocks = nn.ModuleList([_DownBlock(inputs, outputs) for inputs, outputs in pairwise(widths)])
        self.conv = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.score = nn.Sequential(nn.Linear(widths[-1] * 16, widths[-1]), nn.LeakyReLU(0.2), nn.Linear(widths[-1], 1))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [−1, 1] to scores (N,): higher is more real."""
        x = F.leaky_relu(self.from_image(images.contiguous(memory_format=torch.channels_last)), 0.2)
        for block in self.blocks:
            x = block(x)
        return self.score(F.leaky_relu(self.conv(x), 0.2).flatten(1)).squeeze(1)
