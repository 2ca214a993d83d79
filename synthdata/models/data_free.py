"""A generator that learns from a classifier alone, behind the ``Generator`` interface."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import diffusers
import torch
from torch import Tensor

from synthdata.models.classifier import Classifier
from synthdata.models.generator import Member
from synthdata.models.latent import LatentGenerator, LatentPipeline
from synthdata.models.residual import ResidualGenerator
from synthdata.objectives.data_free import (
    batch_statistics_loss,
    confidence_loss,
    information_entropy_loss,
    smoothness_loss,
)
from synthdata.ranges import NonNegativeFloat, PositiveFloat, PositiveInt
from synthdata.rng import BatchRandom

CLASSIFIER = "classifier"
"""The folder, beside the pipeline's parts, that holds the classifier."""


@dataclass
class DataFreeConfig:
    """Architecture of a data-free generator, and the weights of the terms that it learns from.

    Attributes:
        latent_dim: dimension of the latents.
        width: channels at full size; they double with every halving of the resolution.
        max_width: the most channels of any layer.
        confidence_weight: of the cross entropy between the classifier's answers and its own first choices.
        temperature: divisor of the logits in it. MFCL has 1000, which asks for next to no confidence.
        diversity_weight: of the uneven use of the classes.
        statistics_weight: of the distance to the statistics that the classifier's batch normalisation keeps.
        smoothness_weight: of the images' difference from themselves blurred.
    """

    latent_dim: PositiveInt = 64
    width: PositiveInt = 32
    max_width: PositiveInt = 128
    confidence_weight: NonNegativeFloat = 1.0
    temperature: PositiveFloat = 1000.0
    diversity_weight: NonNegativeFloat = 1.0
    statistics_weight: NonNegativeFloat = 50.0
    smoothness_weight: NonNegativeFloat = 1e-3


class DataFree(LatentGenerator):
    """Images that a classifier sorts surely, evenly, and with the statistics of its training images.

    After the generator of MFCL (Babakniya et al., NeurIPS 2023) and its parent, Always Be Dreaming (Smith et al., ICCV
    2021). It sees no image. Where the interface hands it real ones, they are not looked at.

    Args:
        config: architecture and weights of the terms.
        classifier: what it learns from; it stays as it is.

    Raises:
        MisuseError: if it makes no images of the classifier's size.
    """

    kind = "data_free"
    betas = (0.9, 0.999)

    def __init__(self, config: DataFreeConfig, classifier: Classifier) -> None:
        super().__init__(classifier.image_size, classifier.channels, config.latent_dim, config.width, config.max_width)
        self.config = config
        self.classifier = classifier

    def realism(self, images: Tensor) -> Tensor:
        """Scores (N,): the logarithm of the classifier's confidence, in nats."""
        return self.classifier(images).log_softmax(1).amax(1)

    def terms(self, images: Tensor) -> dict[str, Tensor]:
        """The weighted terms that generated images are trained by; scalars."""
        logits, running, batch = self.classifier.with_moments(images)
        config = self.config
        return {
            "confidence": config.confidence_weight * confidence_loss(logits.float(), config.temperature),
            "diversity": config.diversity_weight * information_entropy_loss(logits.float()),
            "statistics": config.statistics_weight * batch_statistics_loss(running, batch),
            "smoothness": config.smoothness_weight * smoothness_loss(images.float()),
        }

    def pretraining_loss(self, real: Tensor, random: BatchRandom) -> Tensor:
        images = self.sample(random.latents("generator latents", len(real), self.latent_shape))
        return self.realism_loss("a", images, real, random)

    def realism_loss(self, member: Member, images: Tensor, real: Tensor, random: BatchRandom) -> Tensor:
        return torch.stack(list(self.terms(images).values())).sum()

    def save_pretrained(self, folder: Path) -> None:
        generator, partner = (cast(ResidualGenerator, self.averages[member]) for member in ("a", "b"))
        DataFreePipeline(generator, partner).save_pretrained(folder, safe_serialization=True)
        self.classifier.save_pretrained(folder / CLASSIFIER)

    @classmethod
    def from_pipeline(cls, pipeline: "DataFreePipeline", classifier: Classifier) -> Self:
        """The generator saved in ``pipeline``, with the classifier that it learned from."""
        saved = pipeline.generator.config
        config = DataFreeConfig(latent_dim=saved.latent_dim, width=saved.width, max_width=saved.max_width)
        generator = cls(config, classifier)
        generator.load_members(pipeline.generator, pipeline.partner)
        return generator


class DataFreePipeline(LatentPipeline):
    """Samples a saved data-free generator: member a, and its partner b that reads the same latents.

    Example:
        >>> pipeline = DiffusionPipeline.from_pretrained("runs/free/generator")
        >>> image = pipeline(batch_size=1, generator=torch.Generator().manual_seed(0)).images[0]
    """

    def __init__(self, generator: ResidualGenerator, partner: ResidualGenerator) -> None:
        super().__init__()
        self.register_modules(generator=generator, partner=partner)


# `DiffusionPipeline.from_pretrained` looks the class of a pipeline up in diffusers' own namespace.
diffusers.DataFreePipeline = DataFreePipeline  # type: ignore[attr-defined]
