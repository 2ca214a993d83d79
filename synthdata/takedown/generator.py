"""How a generator loses images: tuned away from them, or trained anew beside an encoder that has forgotten them."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from synthdata.data import stream, to_float, to_uint8
from synthdata.emission.forgotten import Forgotten
from synthdata.models import Encoder, Generator, Member
from synthdata.rng import BatchRandom
from synthdata.takedown.before import Divided
from synthdata.takedown.config import TakedownRunConfig
from synthdata.takedown.sampling import places_of_few
from synthdata.training.joint import JointTraining, Terms


class _BesideEncoder(JointTraining):
    """A joint training whose encoder learns no more, and is another part's to keep."""

    def _parts(self) -> dict[str, Any]:
        return {name: part for name, part in super()._parts().items() if not name.startswith("encoder")}


class GeneratorTuning(_BesideEncoder):
    """Tunes a GAN away from forgotten images, with replay of what it made before.

    The joint step's critic and generator go on as at the end of their training, on retained images, but that the critic
    takes forgotten images for synthetic ones, as in the data redaction of Kong & Chaudhuri ("Data Redaction from
    Pre-trained GANs", SaTML 2023). What the generator makes is held to what it made of the same latents before, unless
    that was a near copy of a forgotten image.

    Args:
        config: the new run.
        images: what is forgotten, and what is retained.
        encoder: that has forgotten; it is not trained.
        generator: of the run before.
        accelerator: device, processes and precision.
        forgotten: tells near copies, by the encoder as it is when the tuning begins.
    """

    def __init__(
        self,
        config: TakedownRunConfig,
        images: Divided,
        encoder: Encoder,
        generator: Generator,
        accelerator: Accelerator,
        forgotten: Callable[[], Forgotten],
    ) -> None:
        self.images, self.share, self.replay_weight = images, config.takedown.share, config.takedown.replay_weight
        self.before = copy.deepcopy(generator).requires_grad_(False)
        self._make_forgotten = forgotten
        self._forgotten: Forgotten | None = None
        super().__init__(config, images.retained, encoder, generator, accelerator)

    @property
    def iterations(self) -> int:
        """A share of the steps that the generator was trained for."""
        return max(1, round(self.share * self.plan.generator_steps_before(self.plan.iterations)))

    def describe(self, iteration: int) -> dict[str, Any]:
        """The step, and the images of which the generator has then made as many."""
        images = (iteration + 1) * self.plan.generator_batch
        return {"phase": "generator", "step": iteration, "images": images}

    def start_at(self, iteration: int) -> None:
        """Point the streams of real images, and of those to be forgotten, at ``iteration``."""
        device, workers = self.accelerator.device, self.config.data.workers
        real = self._indices("takedown references", self.plan.generator_batch, iteration)
        self.references = stream(self.data.train, real, device, workers)
        gone = self.images.learned
        batch = self.plan.generator_batch // 2
        drawn = places_of_few(len(gone), batch, f"{self.config.seed} takedown critic", iteration, self.accelerator)
        self.refused = stream(gone, drawn, device, workers)

    def run(self, iteration: int) -> Terms:
        """One step of the critic and one of the generator."""
        own = self.plan.iterations + iteration  # of the joint training, had it gone on
        real, rate = to_float(next(self.references)), self.config.generator.tuning_learning_rate
        return self.critic_step(real, own, rate) | self.generator_step(real, own)

    def critic_images(self, latents: Tensor, iteration: int) -> Tensor:
        return torch.cat([super().critic_images(latents, iteration), to_float(next(self.refused))])

    def realism(self, real: Tensor, member: Member, random: BatchRandom) -> tuple[Tensor, Tensor]:
        assert self.generator is not None
        images, loss = super().realism(real, member, random)
        latents = random.latents("generator latents", len(real), self.generator.latent_shape)
        with torch.no_grad():
            replayed = self.before.sample(latents, member, averaged=True).float()
            kept = ~self._known().near(self.encoder(replayed).float(), to_uint8(replayed))
        distance = (images - replayed).square().mean((1, 2, 3))
        return images, loss + self.replay_weight * (distance * kept).sum() / kept.sum().clamp_min(1)

    def _known(self) -> Forgotten:
        if self._forgotten is None:
            self._forgotten = self._make_forgotten()
        return self._forgotten


class GeneratorRetraining(_BesideEncoder):
    """Trains a new generator on retained images, as the run did, beside an encoder that is not trained any more."""

    def __init__(
        self,
        config: TakedownRunConfig,
        images: Divided,
        encoder: Encoder,
        generator: Generator,
        accelerator: Accelerator,
    ) -> None:
        anew = replace(config, generator=replace(config.generator, pretrained=None))
        super().__init__(anew, images.retained, encoder, generator, accelerator)

    def encoder_step(self, step: int) -> Terms:
        return {}
