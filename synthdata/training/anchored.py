"""Anchors with a third view: of a variant that a diffusion model made of the image, or, to compare, of the image."""

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from synthdata.data import RealData, to_float
from synthdata.models import Encoder, Generator
from synthdata.objectives import alignment_loss, nt_xent_with_variants
from synthdata.rng import BatchRandom
from synthdata.training.config import JointConfig
from synthdata.training.joint import JointTraining, Terms
from synthdata.training.optimisation import frozen
from synthdata.training.variants import VariantBank


class AnchoredTraining(JointTraining):
    """NT-Xent of two views of every real anchor, and a third view that is pulled to the first and is no negative.

    From the start of the joint phase, the third view of the arm anchored is of a variant from the bank, at a level that
    follows what the encoder makes of it; that of the arm real is one more view of the image.

    Args:
        as ``JointTraining``.

    Attributes:
        bank: the variants; None for the arm real.

    Raises:
        MisuseError: the bank of variants would not fit into the memory.
    """

    def __init__(
        self,
        config: JointConfig,
        data: RealData,
        encoder: Encoder,
        generator: Generator | None,
        accelerator: Accelerator,
    ) -> None:
        self.bank: VariantBank | None = None
        if generator is not None:
            settings = config.synthetic.variants
            self.bank = VariantBank(settings, data.train, encoder, generator, config.seed, accelerator)
        super().__init__(config, data, encoder, generator, accelerator)

    def start_at(self, iteration: int) -> None:
        super().start_at(iteration)
        self.rows = self._anchor_rows(iteration)

    def encoder_step(self, step: int) -> Terms:
        joint_step = step - self.plan.start
        if self.bank is not None and joint_step >= 0:
            with self.phase("variants"):
                if self.bank.pixels is None:
                    self.bank.fill()
                elif joint_step:
                    self.bank.advance(joint_step)
        return super().encoder_step(step)

    def loss(self, step: int, random: BatchRandom) -> Tensor:
        rows = next(self.rows)
        if step < self.plan.start:
            return super().loss(step, random)
        real, settings = to_float(next(self.anchors)), self.config.synthetic
        with self.phase("views"):
            views = [*self._views(step, real, random), self._third_view(step, real, rows, random)]
        with self.phase("encoder forward"):
            with self.accelerator.autocast():
                first, second, third = self.encoder(torch.cat(views)).float().chunk(3)
            alignment = alignment_loss(first, third)
            self._terms |= {"alignment": alignment.detach()}
            if self.bank is not None and settings.as_negatives:
                contrast = nt_xent_with_variants(first, second, third, self.config.train.temperature)
            else:
                contrast = self.method.objective(first, second)
            return contrast + settings.variants.weight * alignment

    def generator_step(self, real: Tensor, iteration: int) -> Terms:
        """The diffusion model stays realistic, and brings its variants to the scheduled similarity, at all levels."""
        assert self.generator is not None
        random = self._random(iteration)
        latents = random.latents("generator latents", len(real), self.generator.latent_shape)
        levels = random.rows("variant levels", len(real), self._draw_levels)
        with frozen(self.encoder):
            with self.accelerator.autocast():
                variants = self.generator.vary(real, levels, latents)
                realism = self.generator.realism_loss("a", variants, real, random)
            similarity, away = self.similarity(real, variants, iteration - self.plan.pretrain_steps)
            (realism + away).backward()
        self._finish_generator_step(iteration, self.config.generator.tuning_learning_rate)
        return {"realism_a": realism.detach(), "tuned_similarity": similarity.detach().mean()}

    def _draw_levels(self, count: int, generator: torch.Generator) -> Tensor:
        levels = torch.tensor(self.config.synthetic.variants.levels, device=generator.device)
        return levels[torch.randint(len(levels), (count,), generator=generator, device=generator.device)]

    def _third_view(self, step: int, real: Tensor, rows: Tensor, random: BatchRandom) -> Tensor:
        if self.bank is None:
            return self._view(self.real_view, real, "real view 3", random)
        target, rows = self.similarity_target(step), rows.to(real.device)
        levels = self.bank.choose(rows, self.plan.joint_progress(step), target)
        self._terms = self.bank.measured(rows, levels) | {"similarity_target": torch.tensor(target)}
        return self._view(
            self.synthetic_view, to_float(self.bank.variants(rows, levels, random)), "variant view", random
        )

    def _parts(self) -> dict[str, Any]:
        return super()._parts() | ({} if self.bank is None else {"variants": self.bank})
