"""What the server sends of former tasks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from synthdata.federated.model import last_layer
from synthdata.models import DataFree, LinearClassifier


@dataclass(frozen=True)
class Memory:
    """What the server sends of former tasks.

    Attributes:
        teacher: the classifier after the task before, in evaluation mode; its classes are the first of the global one.
        generator: where mfcl's images come from; None for those methods that have none, and for plain noise.
    """

    teacher: LinearClassifier
    generator: DataFree | None = None

    @property
    def classes(self) -> int:
        """How many the teacher knows."""
        return last_layer(self.teacher).out_features

    @torch.no_grad()
    def rehearse(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (count, C, H, W) in [−1, 1], and the class (count,) that the teacher takes each for."""
        encoder = self.teacher.encoder
        image_shape = (encoder.channels, encoder.image_size, encoder.image_size)
        shape = image_shape if self.generator is None else self.generator.latent_shape
        noise = torch.randn(count, *shape, generator=random, device=random.device)
        images = noise if self.generator is None else self.generator.sample(noise)
        return images, self.teacher(images).argmax(1)
