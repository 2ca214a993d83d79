"""The GAN behind the ``Generator`` interface, and the diffusers pipeline that it is saved as."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import diffusers
from torch import Tensor, nn

from synthdata.models.generator import Member
from synthdata.models.latent import LatentGenerator, LatentPipeline
from synthdata.models.residual import Discriminator, ResidualGenerator
from synthdata.objectives.realism import discriminator_loss, generator_loss, r1_penalty
from synthdata.ranges import NonNegativeFloat, PositiveInt
from synthdata.rng import BatchRandom
from synthdata.views import DiffAugment


@dataclass
class GANConfig:
    """The GAN's architecture and regularisation.

    Attributes:
        latent_dim: dimension of the latents.
        width: channels at full size of generator and discriminator; they double with every halving of the resolution.
        max_width: the most channels of any layer.
        r1_weight: weight of the R1 gradient penalty.
        r1_interval: critic steps between two penalties; each is scaled up by as much (Karras et al., 2020, appendix B).
        augmentation: what DiffAugment does to the discriminator's images: any of color, translation and cutout.
    """

    latent_dim: PositiveInt = 64
    width: PositiveInt = 16
    max_width: PositiveInt = 128
    r1_weight: NonNegativeFloat = 1.0
    r1_interval: PositiveInt = 8
    augmentation: str = "color,translation,cutout"


class GAN(LatentGenerator):
    """A pair of residual generators with their averages, and the one discriminator that keeps both realistic.

    Non-saturating loss, lazy R1, and differentiable augmentation of everything that the discriminator sees
    (Zhao et al., NeurIPS 2020), without which it memorises a small training set.

    Raises:
        MisuseError: if the GAN makes no images of ``image_size``.
    """

    kind = "gan"
    betas = (0.0, 0.99)  # of StyleGAN2 (Karras et al., 2020): no momentum against an opponent that moves

    def __init__(self, config: GANConfig, image_size: int, channels: int) -> None:
        super().__init__(image_size, channels, config.latent_dim, config.width, config.max_width)
        self.config = config
        self.discriminator = Discriminator(image_size, channels, config.width, config.max_width)
        self.augment = DiffAugment(config.augmentation, image_size)

    def realism(self, images: Tensor) -> Tensor:
        return self.discriminator(images)

    def pretraining_loss(self, real: Tensor, random: BatchRandom) -> Tensor:
        images = self.sample(random.latents("generator latents", len(real), self.latent_shape))
        return self.realism_loss("a", images, real, random)

    def realism_loss(self, member: Member, images: Tensor, real: Tensor, random: BatchRandom) -> Tensor:
        # The discriminator does not learn here, so the gradients of its weights need not be computed.
        self.discriminator.requires_grad_(False)
        scores = self.discriminator(self._augmented(images, f"diffaugment {member}", random))
        self.discriminator.requires_grad_(True)
        return generator_loss(scores.float())

    def critic_loss(self, real: Tensor, synthetic: Tensor, step: int, random: BatchRandom) -> dict[str, Tensor]:
        penalise = step % self.config.r1_interval == 0
        real = self._augmented(real, "diffaugment real", random).detach().requires_grad_(penalise)
        # A compiled network cannot be differentiated twice: the penalty needs the forward pass as it is written.
        real_scores = self.discriminator.forward(real) if penalise else self.discriminator(real)
        synthetic_scores = self.discriminator(self._augmented(synthetic.detach(), "diffaugment synthetic", random))
        # Losses in float32: bfloat16 cannot tell apart values near 1 that differ by less than 0.4 %.
        terms = {"adversarial": discriminator_loss(real_scores.float(), synthetic_scores.float())}
        if penalise:
            terms["r1"] = self.config.r1_weight * self.config.r1_interval * r1_penalty(real, real_scores)
        return terms

    def critic_parameters(self) -> Iterable[nn.Parameter]:
        return self.discriminator.parameters()

    def save_pretrained(self, folder: Path) -> None:
        generator, partner = (cast(ResidualGenerator, self.averages[member]) for member in ("a", "b"))
        GANPipeline(generator, partner, self.discriminator).save_pretrained(folder, safe_serialization=True)

    @classmethod
    def from_pipeline(cls, pipeline: "GANPipeline", config: GANConfig | None = None) -> Self:
        """The GAN saved in ``pipeline``, ready for more training; ``config`` gives its regularisation.

        Optimisation continues from the averaged weights, which are the ones that were saved.
        """
        saved = pipeline.generator.config
        config = copy.copy(config or GANConfig())
        config.latent_dim, config.width, config.max_width = saved.latent_dim, saved.width, saved.max_width
        gan = cls(config, saved.image_size, saved.channels)
        gan.load_members(pipeline.generator, pipeline.partner)
        gan.discriminator.load_state_dict(pipeline.discriminator.state_dict())
        return gan

    def _augmented(self, images: Tensor, purpose: str, random: BatchRandom) -> Tensor:
        return self.augment.apply(images, random.rows(purpose, images.shape[0], self.augment.draw))


class GANPipeline(LatentPipeline):
    """Samples a saved GAN: member a, its partner b that reads the same latents, and their discriminator.

    Example:
        >>> pipeline = DiffusionPipeline.from_pretrained("runs/digits/generator")
        >>> image = pipeline(batch_size=1, generator=torch.Generator().manual_seed(0)).images[0]
    """

    def __init__(self, generator: ResidualGenerator, partner: ResidualGenerator, discriminator: Discriminator) -> None:
        super().__init__()
        self.register_modules(generator=generator, partner=partner, discriminator=discriminator)


# `DiffusionPipeline.from_pretrained` looks the class of a pipeline up in diffusers' own namespace.
diffusers.GANPipeline = GANPipeline  # type: ignore[attr-defined]
