"""How many images of each kind the steps of a run use, over all processes."""

from dataclasses import dataclass

from synthdata.errors import MisuseError
from synthdata.ranges import check_ranges
from synthdata.training.config import JointConfig


@dataclass(frozen=True)
class Plan:
    """Counts of a run. Steps count from the encoder's first, iterations from the first pre-training step.

    Attributes:
        pretrain_steps: generator steps before the encoder's first.
        steps: encoder steps.
        start: the step at which synthetic anchors enter and the generators begin to be tuned.
        batch: anchors of one micro-batch.
        accumulation: micro-batches of one step.
        hard_anchors: hard samples among the anchors, from ``start`` on.
        pair_anchors: anchors among them that are of positive pairs, two views each, from ``start`` on.
        hard: whether the generators are paid for hardness.
        pairs: whether they are paid for pair similarity.
        variants: whether they are paid for the similarity of variants and their images.
        generator_batch: images of one generator step.
        generator_every: steps between two generator steps.
        peak_hardness_weight: λ_hard after its warm-up.
        hardness_warmup: share of the joint phase over which λ_hard rises.
        third_view: whether every anchor has a third view, from ``start`` on.
    """

    pretrain_steps: int
    steps: int
    start: int
    batch: int
    accumulation: int
    hard_anchors: int
    pair_anchors: int
    hard: bool
    pairs: bool
    variants: bool
    generator_batch: int
    generator_every: int
    peak_hardness_weight: float
    hardness_warmup: float
    third_view: bool

    @classmethod
    def of(cls, config: JointConfig, world_size: int) -> "Plan":
        """The plan of ``config`` on ``world_size`` processes.

        Raises:
            MisuseError: if a batch does not divide evenly over the processes, or a number is out of range.
        """
        train, synthetic, generator = config.train, config.synthetic, config.generator
        check_ranges(config)
        if train.views_per_pair == 4 and train.objective != "nt_xent":
            raise MisuseError(f"train.views_per_pair is 4, which {train.objective} cannot use: choose 2, or nt_xent")
        if not synthetic.negatives_of_real and train.objective != "nt_xent":
            told = f"synthetic.negatives_of_real is false, which {train.objective} cannot use"
            raise MisuseError(f"{told}: leave it out, or set train.objective to nt_xent")
        _check_third_view(config)
        pairs = config.arm in ("pairs", "both")
        unit = world_size * train.views_per_pair // 2 if pairs else world_size
        anchors = 0 if config.arm in ("real", "anchored") else _multiple(train.batch_size * synthetic.share, unit)
        pair_anchors = {"pairs": anchors, "both": _multiple(anchors / 2, unit)}.get(config.arm, 0)
        for name, batch in (("train.batch_size", train.batch_size), ("generator.batch_size", generator.batch_size)):
            if batch % (2 * world_size):
                raise MisuseError(
                    f"{name} is {batch}: on {world_size} processes it must be a multiple of {2 * world_size}"
                )
        pretrain = 0
        if config.arm != "real" and not generator.pretrained:
            pretrain = 2 * train.steps if generator.pretrain_steps is None else generator.pretrain_steps
        return cls(
            pretrain_steps=pretrain,
            steps=train.steps,
            start=round(train.steps * synthetic.start),
            batch=train.batch_size,
            accumulation=train.accumulation,
            hard_anchors=anchors - pair_anchors,
            pair_anchors=pair_anchors,
            hard=config.arm in ("hard", "both"),
            pairs=pairs,
            variants=config.arm == "anchored" and synthetic.tune_variants,
            generator_batch=generator.batch_size,
            generator_every=synthetic.generator_every,
            peak_hardness_weight=synthetic.hardness_weight,
            hardness_warmup=synthetic.hardness_warmup,
            third_view=config.arm == "anchored" or train.views == 3,
        )

    @property
    def iterations(self) -> int:
        """All steps of the run, pre-training included."""
        return self.pretrain_steps + self.steps

    @property
    def tunes_generator(self) -> bool:
        """Whether the generators go on to learn once the joint phase has begun."""
        return self.hard or self.pairs or self.variants

    @property
    def synthetic(self) -> int:
        """Synthetic anchors of one micro-batch from ``start`` on."""
        return self.hard_anchors + self.pair_anchors

    @property
    def images(self) -> int:
        """Anchors that the encoder sees over the whole run, the same for every arm."""
        return self.steps * self.accumulation * self.batch

    def images_seen(self, iteration: int) -> int:
        """Anchors that the encoder has seen before ``iteration``."""
        return max(iteration - self.pretrain_steps, 0) * self.accumulation * self.batch

    def tunes_generator_at(self, step: int) -> bool:
        """Whether the generators take a step after encoder step ``step``."""
        return self.tunes_generator and step >= self.start and (step - self.start) % self.generator_every == 0

    def generator_steps_before(self, iteration: int) -> int:
        """Generator steps, pre-training included, that are done before ``iteration``."""
        step = iteration - self.pretrain_steps
        if step <= self.start or not self.tunes_generator:
            return min(iteration, self.pretrain_steps)
        return self.pretrain_steps + -(-(step - self.start) // self.generator_every)

    def joint_progress(self, step: int) -> float:
        """Share of the joint phase that is done before ``step``."""
        return (step - self.start) / max(self.steps - self.start, 1)

    def hardness_weight(self, step: int) -> float:
        """λ_hard at ``step``: rises linearly from 0 and stays."""
        if self.hardness_warmup == 0:
            return self.peak_hardness_weight
        return self.peak_hardness_weight * min(self.joint_progress(step) / self.hardness_warmup, 1.0)


def _check_third_view(config: JointConfig) -> None:
    """Raise ``MisuseError`` for a third view that cannot be had."""
    train = config.train
    if config.arm == "anchored":
        if config.generator.kind != "diffusion":
            raise MisuseError(
                f"arm is anchored and generator.kind is {config.generator.kind}, which makes images from latents alone,"
                " and no variants of real ones: set generator.kind to diffusion, or arm to pairs"
            )
        if not config.synthetic.variants.levels:
            raise MisuseError("synthetic.variants.levels is empty: give at least one noise level")
    if train.views == 3 and config.arm != "real":
        raise MisuseError(f"train.views is 3, which is for the arm real, and arm is {config.arm}: leave it out")
    if (train.views == 3 or config.arm == "anchored") and train.objective != "nt_xent":
        raise MisuseError(f"a third view has no place in {train.objective}: set train.objective to nt_xent")


def _multiple(value: float, of: int) -> int:
    """The multiple of ``of`` nearest to ``value``."""
    return round(value / of) * of
