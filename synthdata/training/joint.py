"""The joint step: an encoder learns from images that generators make hard for the encoder as it is now.

Wu et al., "Synthetic Data Can Also Teach" (AAAI 2023, arXiv 2202.06464).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from synthdata.data import RealData, shuffled_indices, stream, to_float
from synthdata.models import Encoder, Generator, Member
from synthdata.objectives import (
    all_gather_with_gradient,
    bounded_hardness,
    hardness,
    pair_similarity,
    similarity_loss,
    similarity_target,
)
from synthdata.rng import BatchRandom
from synthdata.training.collective import batch_random
from synthdata.training.config import JointConfig
from synthdata.training.contrast_config import Method, MethodConfig
from synthdata.training.methods import SACLXD, build_method
from synthdata.training.optimisation import (
    adam,
    cosine_schedule,
    encoder_optimizer,
    frozen,
    restore_layouts,
    step_optimizer,
)
from synthdata.training.plan import Plan
from synthdata.views import RandomView

Terms = dict[str, Tensor]
Phase = Callable[[str], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Judgement:
    """What the encoder and the generator's critic make of synthetic images.

    Attributes:
        hardness: (N,) nats, with gradient where there is one.
        real_hardness: (M,) nats, of the real images of all processes.
        realism: (N,) of the synthetic images.
        floor: scalar: the realism below which an image does not look real.
    """

    hardness: Tensor
    real_hardness: Tensor
    realism: Tensor
    floor: Tensor

    def terms(self) -> Terms:
        """Means, for the metrics."""
        return {
            "hardness": self.hardness.detach().mean(),
            "real_hardness": self.real_hardness.mean(),
            "above_realism_floor": (self.realism >= self.floor).float().mean(),
        }


class JointTraining:
    """Encoder, generator and their optimisers, and the steps that train them on each other.

    Iterations count from the first pre-training step; the encoder's first step follows the last of those. Everything
    random is a function of the seed and the iteration, so the state is what ``state_dict`` returns and nothing else.

    Args:
        config: the run.
        data: the real images.
        encoder: on the accelerator's device.
        generator: likewise; None for the arm without synthetic images.
        accelerator: device, processes and precision.

    Attributes:
        phase: entered with the name of each part of a step, for whoever wants to know where time goes.
    """

    def __init__(
        self,
        config: JointConfig,
        data: RealData,
        encoder: Encoder,
        generator: Generator | None,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.data, self.accelerator = config, data, accelerator
        self.encoder, self.generator = encoder, generator
        self.phase: Phase = lambda name: contextlib.nullcontext()
        self.plan = Plan.of(config, accelerator.num_processes)
        self.real_view = RandomView(config.views, encoder.image_size, encoder.channels)
        self.synthetic_view = RandomView(config.synthetic_views, encoder.image_size, encoder.channels)
        train = config.train
        name: Method = "sacl_xd" if train.objective == "sacl_xd" else "simclr"
        self.method = build_method(name, encoder, MethodConfig(**asdict(config.slimming)), train.temperature)
        self.method.autocast = accelerator.autocast
        self.encoder_optimizer = encoder_optimizer(encoder, train.optimizer, train.learning_rate, train.weight_decay)
        rate = config.generator.learning_rate
        self.generator_optimizer = self.critic_optimizer = None
        self._terms: Terms = {}  # what the newest micro-batch measured beside its loss
        if generator is not None:
            self.generator_optimizer = adam(generator.generator_parameters(), rate, generator.betas)
            self.critic_optimizer = adam(generator.critic_parameters(), rate, generator.betas)
        self.start_at(0)

    @property
    def iterations(self) -> int:
        """Steps of the whole run, pre-training included."""
        return self.plan.iterations

    def describe(self, iteration: int) -> dict[str, Any]:
        """Where ``iteration`` falls: the phase, the step within it, and the anchors that the encoder has then seen."""
        step = iteration - self.plan.pretrain_steps
        if step < 0:
            return {"phase": "pre-training", "step": iteration, "images": 0}
        joint = (self.plan.synthetic > 0 or self.plan.third_view) and step >= self.plan.start
        return {"phase": "joint" if joint else "warm-up", "step": step, "images": self.plan.images_seen(iteration + 1)}

    def start_at(self, iteration: int) -> None:
        """Point the streams of real images at ``iteration``."""
        plan, split, workers = self.plan, self.data.train, self.config.data.workers
        rows = self._anchor_rows(iteration)
        self.anchors: Iterator[Tensor] = stream(split, rows, self.accelerator.device, workers)
        if self.generator is not None:
            drawn = self._indices("references", plan.generator_batch, plan.generator_steps_before(iteration))
            self.references: Iterator[Tensor] = stream(split, drawn, self.accelerator.device, workers)

    def run(self, iteration: int) -> Terms:
        """One iteration of whichever phase it falls into; returns the terms of the losses, detached."""
        step = iteration - self.plan.pretrain_steps
        if step < 0:
            return self.pretraining_step(iteration)
        if self.generator is not None and step == self.plan.start and not self.config.generator.pretrained:
            self.generator.begin_tuning()
        terms = self.encoder_step(step)
        if self.plan.tunes_generator_at(step):
            real = to_float(next(self.references))
            with self.phase("discriminator"):
                terms |= self.critic_step(real, iteration, self.config.generator.tuning_learning_rate)
            with self.phase("generator"):
                terms |= self.generator_step(real, iteration)
        return terms

    def pretraining_step(self, iteration: int) -> Terms:
        """Critic and generator learn to make realistic images; the encoder does not take part."""
        assert self.generator is not None
        real = to_float(next(self.references))
        rate = self.config.generator.learning_rate
        terms = self.critic_step(real, iteration, rate)
        with self.accelerator.autocast():
            loss = self.generator.pretraining_loss(real, self._random(iteration))
        loss.backward()
        self._finish_generator_step(iteration, rate)
        return terms | {"realism_a": loss.detach()}

    def encoder_step(self, step: int) -> Terms:
        """Minimise NT-Xent, or another objective, over real and synthetic anchors."""
        plan, loss_sum = self.plan, torch.zeros((), device=self.accelerator.device)
        for micro in range(plan.accumulation):
            random = self._random(step * plan.accumulation + micro)
            loss = self.loss(step, random) / plan.accumulation
            with self.phase("encoder backward"):
                loss.backward()
            loss_sum += loss.detach()
        images = step * plan.accumulation * plan.batch
        factor = cosine_schedule(images, plan.images, self.config.train.warmup)
        with self.phase("optimisers"):
            step_optimizer(self.encoder_optimizer, self.config.train.learning_rate * factor)
        self.method.after_step((step + 1) / plan.steps)
        return {"contrastive": loss_sum} | self.method.measured() | self._terms

    def loss(self, step: int, random: BatchRandom) -> Tensor:
        """The encoder's loss on the next micro-batch."""
        real = to_float(next(self.anchors))
        with self.phase("views"):
            view_1, view_2 = self._views(step, real, random)
        with self.phase("encoder forward"):
            return self.method.loss(view_1, view_2, groups=self._groups(step, len(view_1)))

    def critic_step(self, real: Tensor, iteration: int, rate: float) -> Terms:
        """The discriminator learns to tell real from synthetic; nothing for a generator without one."""
        assert self.generator is not None
        if self.critic_optimizer is None:
            return {}
        random = self._random(iteration)
        latents = random.latents("critic latents", len(real), self.generator.latent_shape)
        synthetic = self.critic_images(latents, iteration)
        with self.accelerator.autocast():
            step = self.plan.generator_steps_before(iteration)
            terms = self.generator.critic_loss(real, synthetic, step, random)
        torch.stack(list(terms.values())).sum().backward()
        with self.phase("optimisers"):
            step_optimizer(self.critic_optimizer, rate)
        return {f"critic_{name}": term.detach() for name, term in terms.items()}

    @torch.no_grad()
    def critic_images(self, latents: Tensor, iteration: int) -> Tensor:
        """The images that the critic is to tell from real ones."""
        assert self.generator is not None
        with self.accelerator.autocast():
            if iteration < self.plan.pretrain_steps or not self.plan.pairs:
                return self.generator.sample(latents).float()
            # Members alternate, so that a row's member does not depend on how processes share the batch.
            drawn = [self.generator.sample(latents[::2], "a"), self.generator.sample(latents[1::2], "b")]
            return torch.stack(drawn, 1).flatten(0, 1).float()

    def generator_step(self, real: Tensor, iteration: int) -> Terms:
        """Members stay realistic; a makes its samples hard, b brings its pairs to the scheduled similarity."""
        assert self.generator is not None
        step = iteration - self.plan.pretrain_steps
        settings, random = self.config.synthetic, self._random(iteration)
        terms: Terms = {}
        with frozen(self.encoder):
            images_a, loss = self.realism(real, "a", random)
            terms["realism_a"] = loss.detach()
            if self.plan.hard:
                judged = self._judge(real, images_a, random)
                ceiling = judged.real_hardness.quantile(settings.hardness_ceiling)
                paid = bounded_hardness(judged.hardness, judged.realism, ceiling, judged.floor)
                loss = loss - self.plan.hardness_weight(step) * paid
                terms |= judged.terms()
            if self.plan.pairs:
                images_b, realism_b = self.realism(real, "b", random)
                similarity, away = self.similarity(images_a.detach(), images_b, step)
                loss = loss + realism_b + away
                terms |= {"realism_b": realism_b.detach(), "similarity": similarity.detach().mean()}
                terms["similarity_target"] = torch.tensor(self.similarity_target(step))
            loss.backward()
        self._finish_generator_step(iteration, self.config.generator.tuning_learning_rate)
        return terms

    def similarity(self, images: Tensor, partners: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """(N,) similarities of images and their partners to the encoder, and the weighted loss that brings them to the
        target."""
        with self.accelerator.autocast():
            embeddings = self.encoder(torch.cat([images, partners])).float()
        similarity = pair_similarity(*embeddings.chunk(2))
        weight = self.config.synthetic.similarity_weight
        return similarity, weight * similarity_loss(similarity, self.similarity_target(step))

    def similarity_target(self, step: int) -> float:
        """The similarity that pairs, and variants and their images, should have at an encoder step."""
        settings = self.config.synthetic
        progress = self.plan.joint_progress(step)
        return similarity_target(progress, settings.initial_similarity, settings.final_similarity)

    def state_dict(self) -> dict[str, Any]:
        """Models and optimisers."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
            if isinstance(part, torch.optim.Optimizer):
                restore_layouts(part)

    def _parts(self) -> dict[str, Any]:
        parts = {
            "encoder": self.encoder,
            "slim": self.method.slim if isinstance(self.method, SACLXD) else None,
            "generator": self.generator,
            "encoder_optimizer": self.encoder_optimizer,
            "generator_optimizer": self.generator_optimizer,
            "critic_optimizer": self.critic_optimizer,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _views(self, step: int, real: Tensor, random: BatchRandom) -> tuple[Tensor, Tensor]:
        """The two views of every anchor of this process, real ones first."""
        views_1, views_2 = ([self._view(self.real_view, real, f"real view {i}", random)] for i in (1, 2))
        if step >= self.plan.start:
            # Each kind draws its own views: a row's views do not depend on how processes share the batch.
            for kind, (images_1, images_2) in self._synthetic_anchors(real, random).items():
                views_1.append(self._view(self.synthetic_view, images_1, f"{kind} view 1", random))
                views_2.append(self._view(self.synthetic_view, images_2, f"{kind} view 2", random))
        return torch.cat(views_1), torch.cat(views_2)

    def _groups(self, step: int, anchors: int) -> Tensor | None:
        """Equal numbers for anchors of this process that are of one pair, below 0 for those that are no negatives of
        real ones; None where every anchor is for itself."""
        world, plan = self.accelerator.num_processes, self.plan
        pairs = plan.pair_anchors // world if self.config.train.views_per_pair == 4 else 0
        spared = 0 if self.config.synthetic.negatives_of_real else plan.synthetic // world
        if not (pairs or spared) or step < plan.start:
            return None
        groups = torch.arange(anchors, device=self.accelerator.device) + self.accelerator.process_index * anchors
        if pairs:
            groups[-pairs:] = groups[-pairs::2].repeat_interleave(2)
        if spared:
            groups[-spared:] = -1 - groups[-spared:]
        return groups

    @torch.no_grad()
    def _synthetic_anchors(self, real: Tensor, random: BatchRandom) -> dict[str, tuple[Tensor, Tensor]]:
        """This process's synthetic anchors, pairs last: the images of which first and second views are taken."""
        anchors: dict[str, tuple[Tensor, Tensor]] = {}
        world = self.accelerator.num_processes
        hard, pairs = self.plan.hard_anchors // world, self.plan.pair_anchors // world
        with self.phase("synthetic images"):
            if self.generator is not None and hard:
                images = self._hard_anchors(real, hard, random)
                anchors["hard anchor"] = images, images
            if self.generator is not None and pairs:
                each = self.config.train.views_per_pair // 2
                latents = random.latents("pair latents", pairs // each, self.generator.latent_shape)
                with self.accelerator.autocast():
                    first, second = (self.generator.sample(latents, member).float() for member in ("a", "b"))
                anchors["pair anchor"] = first.repeat_interleave(each, 0), second.repeat_interleave(each, 0)
        return anchors

    def _hard_anchors(self, real: Tensor, count: int, random: BatchRandom) -> Tensor:
        """``count`` samples; where several candidates are drawn for each, the hardest that looks real enough."""
        assert self.generator is not None
        each = self.config.synthetic.oversample if self.plan.hard else 1
        latents = random.latents("hard latents", count * each, self.generator.latent_shape)
        with self.accelerator.autocast():
            candidates = self.generator.sample(latents).float()
        if each == 1:
            return candidates
        with frozen(self.encoder):
            judged = self._judge(real, candidates, random, "candidate ")
        below = judged.realism - judged.floor  # hardness is never below 0: these rank last, the most realistic first
        rank = torch.where(below < 0, below, judged.hardness).view(count, each)
        chosen = rank.argmax(1) + each * torch.arange(count, device=rank.device)
        self._terms["hardness_ratio"] = judged.hardness[chosen].mean() / judged.real_hardness.mean()
        return candidates[chosen]

    def realism(self, real: Tensor, member: Member, random: BatchRandom) -> tuple[Tensor, Tensor]:
        """Images of one member, with gradient, and the loss that keeps it realistic; members read the same latents."""
        assert self.generator is not None
        latents = random.latents("generator latents", len(real), self.generator.latent_shape)
        with self.accelerator.autocast():
            images = self.generator.sample(latents, member)
            return images.float(), self.generator.realism_loss(member, images, real, random)

    def _judge(self, real: Tensor, images: Tensor, random: BatchRandom, purpose: str = "") -> Judgement:
        """Hardness and realism of synthetic images, beside real ones, for the encoder as it is now.

        Args:
            purpose: a prefix of what random numbers are drawn for.
        """
        assert self.generator is not None
        temperature, settings = self.config.train.temperature, self.config.synthetic
        with self.accelerator.autocast():
            with torch.no_grad():
                real_1, real_2 = (
                    all_gather_with_gradient(self.encoder(self._view(self.real_view, real, name, random)).float())
                    for name in (f"{purpose}bank view 1", f"{purpose}bank view 2")
                )
                real_realism = all_gather_with_gradient(self.generator.realism(real).float())
                realism = self.generator.realism(images).float()
            view_1, view_2 = (
                self.encoder(self._view(self.synthetic_view, images, name, random)).float()
                for name in (f"{purpose}hard view 1", f"{purpose}hard view 2")
            )
        own = torch.eye(len(real_1), dtype=torch.bool, device=real.device)
        return Judgement(
            hardness(view_1, view_2, real_1, temperature),
            hardness(real_1, real_2, real_1, temperature, own),
            realism,
            real_realism.quantile(settings.realism_floor),
        )

    def _finish_generator_step(self, iteration: int, rate: float) -> None:
        assert self.generator is not None
        assert self.generator_optimizer is not None
        with self.phase("optimisers"):
            step_optimizer(self.generator_optimizer, rate)
        if self.critic_optimizer is not None:
            self.critic_optimizer.zero_grad(set_to_none=True)
        batch = self.plan.generator_batch
        # Early in a phase the average forgets faster, or a short phase would leave it where the phase began.
        pretrained = self.plan.pretrain_steps if iteration >= self.plan.pretrain_steps else 0
        images = (self.plan.generator_steps_before(iteration) - pretrained + 1) * batch
        half_life = min(self.config.generator.average_half_life, images / 10)
        self.generator.update_average(0.5 ** (batch / half_life))

    def _view(self, view: RandomView, images: Tensor, purpose: str, random: BatchRandom) -> Tensor:
        return view.apply(images, random.rows(purpose, len(images), view.draw))

    def _random(self, counter: int) -> BatchRandom:
        return batch_random(self.accelerator, self.config.seed, counter)

    def _anchor_rows(self, iteration: int) -> Iterator[Tensor]:
        """The rows of this process's real anchors in each micro-batch from ``iteration`` on."""
        plan = self.plan
        step, entry = max(iteration - plan.pretrain_steps, 0) * plan.accumulation, plan.start * plan.accumulation
        before = islice(self._indices("anchors before", plan.batch, min(step, entry)), max(entry - step, 0))
        after = self._indices("anchors after", plan.batch - plan.synthetic, max(step - entry, 0))
        return chain(before, after)

    def _indices(self, purpose: str, batch: int, start: int) -> Iterator[Tensor]:
        accelerator = self.accelerator
        return shuffled_indices(
            len(self.data.train),
            batch,
            seed=f"{self.config.seed} {purpose}",
            start=start,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
        )
