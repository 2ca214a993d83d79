"""Random views: one augmentation of each image, drawn per sample."""

import math

import torch
from torch import Tensor

from synthdata.views.blur import gaussian_blur
from synthdata.views.color import adjust_color
from synthdata.views.config import ViewConfig
from synthdata.views.crop import draw_boxes, horizontal_flip, resized_crop
from synthdata.views.parameters import ViewParameters


class RandomView:
    """SimCLR's random augmentation (Chen et al., 2020): crop and flip, colour jitter, greyscale, blur.

    Drawing is apart from applying, so that several processes draw for the global batch from equal generators and each
    applies its slice. What the configuration switches off costs nothing.

    Example::

        view = RandomView(ViewConfig.simclr(), image_size=32, channels=3)
        parameters = view.draw(256, generator_at(seed, "views", step))
        mine = view.apply(images, parameters[rank * 128 : (rank + 1) * 128])
    """

    def __init__(self, config: ViewConfig, image_size: int, channels: int) -> None:
        """Fix the strengths, for square images of ``image_size`` pixels and 1 or 3 ``channels``."""
        self.config = config
        self.image_size = image_size
        self.channels = channels
        self._crops = config.crop_scale[0] < 1 or not config.crop_ratio[0] <= 1 <= config.crop_ratio[1]
        self._flips = config.flip_probability > 0
        self._recolors = _has_color_jitter(config, channels) or (channels > 1 and config.greyscale_probability > 0)
        self._blurs = config.blur_probability > 0
        self._noises = config.noise_probability > 0
        # three standard deviations hold 99.7 % of the kernel; reflection needs a radius below the image's size
        self._blur_radius = min(math.ceil(3 * config.blur_sigma[1]), image_size - 1)

    def draw(self, batch: int, generator: torch.Generator) -> ViewParameters:
        """Parameters of ``batch`` views, on the generator's device: a function of these two alone."""
        config = self.config

        def uniform(low: float, high: float) -> Tensor:
            return torch.empty(batch, device=generator.device).uniform_(low, high, generator=generator)

        def chosen(probability: float) -> Tensor:
            return torch.rand(batch, generator=generator, device=generator.device) < probability

        box = draw_boxes(batch, config.crop_scale, config.crop_ratio, generator)
        flip = chosen(config.flip_probability)
        jittered = chosen(config.jitter_probability)
        brightness, contrast, saturation = (
            torch.where(jittered, uniform(1 - strength, 1 + strength), 1.0)
            for strength in (config.brightness, config.contrast, config.saturation)
        )
        hue = uniform(-config.hue, config.hue) * jittered
        saturation = saturation * ~chosen(config.greyscale_probability)
        blur_sigma = uniform(*config.blur_sigma) * chosen(config.blur_probability)
        noise = torch.zeros(batch, 1, 1, 1, device=generator.device)
        if self._noises:
            shape = (batch, self.channels, self.image_size, self.image_size)
            sigma = uniform(*config.noise_sigma) * chosen(config.noise_probability)
            # pixels here span two units, not one
            noise = 2 * sigma[:, None, None, None] * torch.randn(shape, generator=generator, device=generator.device)
        return ViewParameters(box, flip, brightness, contrast, saturation, hue, blur_sigma, noise)

    def apply(self, images: Tensor, parameters: ViewParameters) -> Tensor:
        """The views with these parameters.

        Args:
            images: (N, channels, image_size, image_size) in [-1, 1].
            parameters: of N views; brought to the images' device if they are elsewhere.

        Returns:
            The same shape, in [-1, 1], float32 if the images are of lower precision; differentiable in ``images``.

        Raises:
            ValueError: images of another shape than this view was built for.
        """
        if images.shape[1:] != (self.channels, self.image_size, self.image_size):
            expected = (self.channels, self.image_size, self.image_size)
            raise ValueError(f"views were built for images of shape {expected}, got {tuple(images.shape[1:])}")
        parameters = parameters.to(images.device)
        # bfloat16 has fewer levels than an 8-bit pixel, so mixed precision stops here
        with torch.autocast(images.device.type, enabled=False):
            if images.dtype in (torch.bfloat16, torch.float16):
                images = images.float()
            if self._crops:
                images = resized_crop(images, parameters.box, parameters.flip)
            elif self._flips:
                images = horizontal_flip(images, parameters.flip)
            if self._recolors:
                images = adjust_color(images, parameters)
            if self._blurs:
                images = gaussian_blur(images, parameters.blur_sigma, self._blur_radius)
            if self._noises:
                images = (images + parameters.noise).clamp(-1, 1)
        return images

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Views of (N, C, H, W) images in [-1, 1], drawn from ``generator`` and applied."""
        return self.apply(images, self.draw(len(images), generator))


def _has_color_jitter(config: ViewConfig, channels: int) -> bool:
    strengths = [config.brightness, config.contrast]
    if channels > 1:
        strengths += [config.saturation, config.hue]
    return config.jitter_probability > 0 and any(strength > 0 for strength in strengths)
