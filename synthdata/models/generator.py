"""What the joint loop, emission and publishing need of an image generator."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor, nn

from synthdata.errors import MisuseError
from synthdata.rng import BatchRandom

Member = Literal["a", "b"]
GeneratorKind = Literal["gan", "diffusion", "data_free"]


class Generator(nn.Module, ABC):
    """Two image generators that read one latent, and what keeps both realistic.

    Member ``a`` makes hard samples; member ``b``, once ``begin_tuning`` has made it a copy of ``a``, makes the second
    image of each positive pair. Images are float (N, C, H, W) in [−1, 1].

    Attributes:
        kind: which implementation it is, as configurations name it.
        betas: of Adam, as suits its training.
        latent_shape: shape of one latent.
        image_size: height and width of the images, in pixels.
        channels: channels of the images.
    """

    kind: ClassVar[GeneratorKind]
    betas: ClassVar[tuple[float, float]]
    latent_shape: tuple[int, ...]
    image_size: int
    channels: int

    @abstractmethod
    def sample(self, latents: Tensor, member: Member = "a", averaged: bool = False) -> Tensor:
        """Images of standard normal ``latents`` (N, *latent_shape), differentiable in the member's parameters.

        With ``averaged`` they come from the moving average of the weights, which is also what is saved.
        """

    def vary(
        self,
        images: Tensor,
        noise_level: Tensor | float,
        latents: Tensor,
        member: Member = "a",
        averaged: bool = False,
    ) -> Tensor:
        """Variants of images: noised part of the way by their latents, and denoised again.

        Args:
            images: (N, C, H, W), which gradients do not pass into.
            noise_level: in [0, 1), or (N,) of them. Level 0 gives the image itself; near 1 nothing is left of it.
            latents: (N, *latent_shape) standard normal: the same latents give the same variant.
            member: whose variants; they are differentiable in its parameters.
            averaged: as for ``sample``.

        Raises:
            MisuseError: the generator makes images from latents alone, or a level is out of its range.
        """
        raise MisuseError(
            f"a generator of kind {self.kind} makes images from latents alone, and no variants of real ones: set"
            " generator.kind to diffusion"
        )

    @abstractmethod
    def realism(self, images: Tensor) -> Tensor:
        """Scores (N,) of images: higher is more real, comparable within a run only."""

    @abstractmethod
    def pretraining_loss(self, real: Tensor, random: BatchRandom) -> Tensor:
        """Scalar that pre-training minimises to make images like real ones, until ``begin_tuning``."""

    @abstractmethod
    def realism_loss(self, member: Member, images: Tensor, real: Tensor, random: BatchRandom) -> Tensor:
        """Scalar that a member minimises to stay realistic, given images it made and real ones."""

    def critic_loss(self, real: Tensor, synthetic: Tensor, step: int, random: BatchRandom) -> dict[str, Tensor]:
        """Named scalar terms that the critic minimises in its ``step``-th step; empty for a generator without one."""
        return {}

    @abstractmethod
    def generator_parameters(self) -> Iterable[nn.Parameter]:
        """What the generator's optimiser trains."""

    def critic_parameters(self) -> Iterable[nn.Parameter]:
        """What the critic's optimiser trains; empty for a generator without one."""
        return []

    @abstractmethod
    def begin_tuning(self) -> None:
        """End pre-training: member ``b`` starts as a copy of ``a``."""

    @abstractmethod
    def update_average(self, decay: float) -> None:
        """Move the averaged weights towards the trained ones by ``1 − decay``."""

    @abstractmethod
    def save_pretrained(self, folder: Path) -> None:
        """Write the averaged weights as a folder that ``DiffusionPipeline.from_pretrained`` loads."""
