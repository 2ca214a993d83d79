"""Two residual networks that read one latent vector: what generators without a denoiser have in common."""

import copy
from abc import ABC
from collections.abc import Iterable

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from torch import Tensor, nn

from synthdata.errors import MisuseError
from synthdata.models.generator import Generator, Member
from synthdata.models.residual import ResidualGenerator

IMAGE_SIZES = (16, 32, 64, 128)


class LatentGenerator(Generator, ABC):
    """Members a and b as residual networks, and the moving averages of their weights.

    Raises:
        MisuseError: if ``image_size`` is not one of ``IMAGE_SIZES``.
    """

    def __init__(self, image_size: int, channels: int, latent_dim: int, width: int, max_width: int) -> None:
        if image_size not in IMAGE_SIZES:
            sizes = ", ".join(map(str, IMAGE_SIZES))
            raise MisuseError(
                f"a generator of kind {self.kind} makes images of {sizes} px: set data.image_size to one of them, not"
                f" {image_size}"
            )
        super().__init__()
        self.latent_shape = (latent_dim,)
        self.image_size = image_size
        self.channels = channels
        network = ResidualGenerator(image_size, channels, latent_dim, width, max_width)
        self.members = nn.ModuleDict({"a": network, "b": copy.deepcopy(network)})
        self.averages = copy.deepcopy(self.members).requires_grad_(False)

    def sample(self, latents: Tensor, member: Member = "a", averaged: bool = False) -> Tensor:
        return (self.averages if averaged else self.members)[member](latents)

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        return self.members.parameters()

    def begin_tuning(self) -> None:
        self.members["b"].load_state_dict(self.members["a"].state_dict())
        self.averages["b"].load_state_dict(self.averages["a"].state_dict())

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        torch._foreach_lerp_(list(self.averages.parameters()), list(self.members.parameters()), 1 - decay)

    def load_members(self, generator: ResidualGenerator, partner: ResidualGenerator) -> None:
        """Take over saved networks; training goes on from the averaged weights, which are those that were saved."""
        for member, network in (("a", generator), ("b", partner)):
            self.members[member].load_state_dict(network.state_dict())
            self.averages[member].load_state_dict(network.state_dict())


class LatentPipeline(DiffusionPipeline):
    """Samples ``self.generator``, or ``self.partner`` that reads the same latents."""

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        generator: torch.Generator | None = None,
        member: Member = "a",
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Draw ``batch_size`` images.

        Args:
            generator: source of the latents; equal states give equal latents, so a call for each member gives pairs.
            member: "a", or "b" for the second image of each pair.
            output_type: "pil", "np" (N, H, W, C in [0, 1]) or "pt" (N, C, H, W in [0, 1]).
        """
        network = self.generator if member == "a" else self.partner
        latents = torch.randn(batch_size, network.config.latent_dim, generator=generator)
        images = network(latents.to(self.device)) / 2 + 0.5
        if output_type == "pt":
            return ImagePipelineOutput(images=images)
        arrays = images.permute(0, 2, 3, 1).cpu().numpy()
        return ImagePipelineOutput(images=self.numpy_to_pil(arrays) if output_type == "pil" else arrays)
