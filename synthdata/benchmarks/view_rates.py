"""How fast random views are, next to those of kornia and torchvision."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthdata.benchmarks.machine import describe_machine, open_device, synchronise
from synthdata.errors import MisuseError
from synthdata.ranges import PositiveInt
from synthdata.rng import generator_at
from synthdata.views.config import ViewConfig
from synthdata.views.random_view import RandomView

Transform = Callable[[Tensor], Tensor]


@dataclass
class ViewRatesConfig:
    """Random views beside kornia's (pip install kornia) and torchvision's, in milliseconds per batch.

    Attributes:
        batch: RGB images of a batch.
        image_size: their side in pixels.
        rounds: rounds of the measurement; medians are told.
        blur: blur half of the images as well.
        device: cpu, cuda, cuda:1, …; a GPU where there is one, if not given.
    """

    batch: PositiveInt = 256
    image_size: PositiveInt = 32
    rounds: PositiveInt = 15
    blur: bool = False
    device: str | None = None


@dataclass(frozen=True)
class ViewRate:
    """Medians over rounds.

    Attributes:
        name: of the implementation.
        forward: milliseconds per batch.
        forward_backward: likewise, with gradients down to the pixels; None where the library has none.
    """

    name: str
    forward: float
    forward_backward: float | None


@dataclass(frozen=True)
class Contender:
    """An implementation of random views, each image with numbers of its own unless ``name`` says otherwise.

    Attributes:
        name: of the implementation.
        transform: from ``images`` to views of them.
        images: (N, 3, H, W), as the implementation takes them.
        differentiable: whether gradients pass to the images.
    """

    name: str
    transform: Transform
    images: Tensor
    differentiable: bool = True


def view_table(config: ViewRatesConfig) -> str:
    """The table of implementations.

    Raises:
        MisuseError: kornia is not installed, or there is no such device.
    """
    device = open_device(config.device)
    views = ViewConfig(blur_probability=0.5 if config.blur else 0.0)
    lines = [describe_machine(device), f"{f'ms per batch of {config.batch}':<38} {'forward':>10} {'and backward':>14}"]
    for rate in view_rates(views, config.image_size, config.batch, config.rounds, device):
        backward = "" if rate.forward_backward is None else f"{rate.forward_backward:.2f}"
        lines.append(f"{rate.name:<38} {rate.forward:>10.2f} {backward:>14}")
    return "\n".join(lines)


def view_rates(config: ViewConfig, image_size: int, batch: int, rounds: int, device: torch.device) -> list[ViewRate]:
    """Time the same views by several libraries; rounds are interleaved so that a busy machine is fair to all.

    Raises:
        MisuseError: kornia is not installed.
    """
    contenders = _contenders(config, image_size, torch.rand(batch, 3, image_size, image_size, device=device))
    forward: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    backward: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):  # the first one warms up
        for contender in contenders:
            for times, differentiated in ((forward, False), (backward, True)):
                if differentiated and not contender.differentiable:
                    continue
                elapsed = _milliseconds(contender, differentiated)
                if number > 0:
                    times[contender.name].append(elapsed)
    return [
        ViewRate(name, statistics.median(times), statistics.median(backward[name]) if backward[name] else None)
        for name, times in forward.items()
    ]


def _contenders(config: ViewConfig, image_size: int, images: Tensor) -> list[Contender]:
    """All implementations, for ``images`` in [0, 1]."""
    view, generator = RandomView(config, image_size, 3), generator_at(0, "benchmark", device=images.device)
    torchvision = _torchvision_views(config, image_size)
    return [
        Contender("synthdata", lambda batch: view(batch, generator), images * 2 - 1),
        Contender("kornia, crops by slicing", _kornia_views(config, image_size, "slice"), images),
        Contender("kornia, crops by resampling", _kornia_views(config, image_size, "resample"), images),
        # its change of hue works in place, which has no gradient
        Contender(
            "torchvision, image by image",
            lambda batch: torch.stack([torchvision(image) for image in batch]),
            images,
            differentiable=False,
        ),
        Contender("torchvision, one draw for the batch", torchvision, images, differentiable=False),
    ]


def _kornia_views(config: ViewConfig, image_size: int, cropping_mode: str) -> Transform:
    try:
        import kornia.augmentation as kornia
    except ImportError as error:
        raise MisuseError("comparing views needs kornia, which is not installed: pip install kornia") from error
    size = (image_size, image_size)
    jitter = (config.brightness, config.contrast, config.saturation, config.hue)
    steps: list[nn.Module] = [
        kornia.RandomResizedCrop(size, config.crop_scale, config.crop_ratio, cropping_mode=cropping_mode),
        kornia.RandomHorizontalFlip(p=config.flip_probability),
        kornia.ColorJitter(*jitter, p=config.jitter_probability),
        kornia.RandomGrayscale(p=config.greyscale_probability),
    ]
    if config.blur_probability:
        kernel = (_blur_kernel(config, image_size),) * 2
        steps.append(kornia.RandomGaussianBlur(kernel, config.blur_sigma, p=config.blur_probability))
    return nn.Sequential(*steps)


def _torchvision_views(config: ViewConfig, image_size: int) -> Transform:
    """A call draws once for all images that it is given."""
    from torchvision.transforms import v2

    jitter = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
    steps = [
        v2.RandomResizedCrop(image_size, config.crop_scale, config.crop_ratio, antialias=False),
        v2.RandomHorizontalFlip(config.flip_probability),
        v2.RandomApply([jitter], config.jitter_probability),
        v2.RandomGrayscale(config.greyscale_probability),
    ]
    if config.blur_probability:
        blur = v2.GaussianBlur(_blur_kernel(config, image_size), config.blur_sigma)
        steps.append(v2.RandomApply([blur], config.blur_probability))
    return v2.Compose(steps)


def _blur_kernel(config: ViewConfig, image_size: int) -> int:
    return 2 * min(int(3 * config.blur_sigma[1]), image_size - 1) + 1


def _milliseconds(contender: Contender, backward: bool) -> float:
    images = contender.images.detach().requires_grad_(backward)
    synchronise(images.device)
    with torch.set_grad_enabled(backward):
        start = time.perf_counter()
        views = contender.transform(images)
        if backward:
            views.sum().backward()
        synchronise(images.device)
        return (time.perf_counter() - start) * 1e3
