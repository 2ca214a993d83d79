"""What a training run can be told, with the default of everything."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from synthdata.data import DataConfig
from synthdata.models import DiffusionConfig, EncoderConfig, GANConfig, GeneratorKind
from synthdata.paths import PathText
from synthdata.ranges import (
    Cosine,
    Increasing,
    NonNegativeFloat,
    NonNegativeInt,
    PartialShare,
    PositiveFloat,
    PositiveInt,
    Range,
    Seed,
    UnitInterval,
)
from synthdata.training.trackers import Tracker
from synthdata.views import ViewConfig

Arm = Literal["real", "inflate", "hard", "pairs", "both", "anchored"]


@dataclass
class TrainConfig:
    """The encoder's training.

    Attributes:
        steps: optimiser steps of the encoder.
        batch_size: anchors of one step, real and synthetic, over all processes.
        learning_rate: peak of the cosine schedule.
        warmup: share of the training over which the learning rate rises linearly.
        weight_decay: decoupled weight decay.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        temperature: divisor of the cosine similarities in NT-Xent.
        accumulation: micro-batches whose gradients are averaged into one step; each holds batch_size anchors.
        mixed_precision: "bf16" runs the networks in bfloat16, for which GPUs and the newest CPUs (AMX) have units.
        compile: run the networks through torch.compile: minutes at the start, for faster steps. Needs a C++ compiler.
        log_every: steps between two lines of metrics.jsonl.
    """

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 2e-3
    warmup: PartialShare = 0.05
    weight_decay: NonNegativeFloat = 1e-4
    optimizer: Literal["adamw", "sgd"] = "adamw"
    temperature: PositiveFloat = 0.2
    accumulation: PositiveInt = 1
    mixed_precision: Literal["no", "bf16"] = "no"
    compile: bool = False
    log_every: PositiveInt = 10


@dataclass(frozen=True)
class SlimmingConfig:
    """A slim encoder trained within its host, by sacl_xd.

    Attributes:
        slim_ratio: share of the channels of every layer that the slim encoder has.
        slim_every: steps after which its channels are chosen anew, but in the last quarter of the training; 0 chooses
            them once.
        slim_warmup: share of the training before it takes part.
        distillation: weight of what pulls the two encoders' embeddings of a view together; the contrast of the two
            views has the rest.
        base: the loss of two embeddings: Barlow Twins, or NT-Xent.
        distillation_loss: of two encoders' embeddings of a view: the base, or the cross entropy of log-softmax, which
            wants a distillation of about 0.001.
        slim_by: what is kept: the channels of largest L1 norm, or random ones, for comparison.
    """

    slim_ratio: Annotated[float, Range(0, 1, open_low=True)] = 0.5
    slim_every: NonNegativeInt = 50
    slim_warmup: PartialShare = 0.1
    distillation: UnitInterval = 0.05
    base: Literal["barlow", "nt_xent"] = "barlow"
    distillation_loss: Literal["base", "log"] = "base"
    slim_by: Literal["norm", "random"] = "norm"


@dataclass
class JointTrainConfig(TrainConfig):
    """The encoder's training beside a generator.

    Attributes:
        objective: "nt_xent" (Chen et al., ICML 2020), or "sacl_xd" (Meng et al., NeurIPS 2023), which trains a slim
            encoder within the one that the generators meet.
        views_per_pair: 2 takes a view of each image of a positive pair. 4 takes two of each, all positives of each
            other, as Wu et al. do; the views are as many, so the pairs are half as many. With nt_xent only.
        views: of each anchor of the arm real. 3 pulls a third one to the first, from synthetic.start on, as anchored
            does with a variant's: its control, with as many views.
    """

    objective: Literal["nt_xent", "sacl_xd"] = "nt_xent"
    views_per_pair: Literal[2, 4] = 2
    views: Literal[2, 3] = 2


@dataclass
class GeneratorConfig:
    """The generator, its pre-training, and its optimiser.

    Attributes:
        kind: the kind of generator; one of kind "data_free" comes from recipes/distil.py, as ``pretrained``.
        pretrained: a generator to start from, a folder or OWNER/NAME on the Hub: of another run or, for diffusion, any
            unconditional diffusers pipeline; pre-training is then skipped.
        pretrain_steps: generator steps before the encoder's training begins; twice train.steps if not given.
        batch_size: generated images of one generator step, over all processes.
        learning_rate: of the pre-training, for generator and discriminator.
        tuning_learning_rate: of the joint phase.
        average_half_life: images after which a weight's share in the moving average has halved; at most a tenth of
            the images of the phase so far.
        gan: architecture and regularisation of the GAN.
        diffusion: sampling, tuning and architecture of the diffusion model.
    """

    kind: GeneratorKind = "gan"
    pretrained: PathText | None = None
    pretrain_steps: NonNegativeInt | None = None
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 1e-3
    tuning_learning_rate: NonNegativeFloat = 5e-4
    average_half_life: PositiveFloat = 10_000
    gan: GANConfig = field(default_factory=GANConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)


@dataclass
class VariantConfig:
    """Variants of the anchors, for the arm anchored: real images, noised part of the way and denoised again.

    They are made when the joint phase begins, and kept in a bank on the device, in 8 bits.

    Attributes:
        levels: noise levels that variants start from, rising, in [0, 1); a single one is fixed.
        level_by: how an anchor's level is chosen. By similarity: of an image's levels, that whose measured similarity
            is nearest to the target, which falls as that of pairs; levels whose variants are the image again, by the
            memorisation guard's distance, are left out. By time: one level after the other, in equal parts of the joint
            phase.
        each: variants of an image at each level.
        renew_every: steps between two times that a slice of the bank, 64 variants, is made anew; 0 for never.
        measure_every: steps between two times that the similarities of 64 images are measured anew; 0 for never.
        weight: of the alignment of an anchor with its third view, against NT-Xent.
    """

    levels: Annotated[list[PartialShare], Increasing(strictly=True)] = field(default_factory=lambda: [0.2, 0.35, 0.5])
    level_by: Literal["similarity", "time"] = "similarity"
    each: PositiveInt = 4
    renew_every: NonNegativeInt = 16
    measure_every: NonNegativeInt = 8
    weight: NonNegativeFloat = 1.0


@dataclass
class SyntheticConfig:
    """How synthetic images enter, and what the generators are paid for.

    Attributes:
        share: share of the anchors that is synthetic, once they enter.
        start: share of the training after which synthetic anchors enter and the generators are tuned.
        generator_every: encoder steps between two generator steps in the joint phase.
        oversample: candidates for each hard sample among the anchors; the hardest that looks real enough is taken.
        hardness_weight: λ_hard, the weight of hardness in nats against the realism loss, reached after the warm-up.
        hardness_warmup: share of the joint phase over which λ_hard rises from 0.
        hardness_ceiling: quantile of the real images' hardness above which a sample gains nothing from growing harder.
        realism_floor: quantile of the real images' realism below which a sample gains nothing from being hard.
        similarity_weight: weight of the squared distance of pair similarities from their target.
        initial_similarity: target similarity of pairs, and of variants and their anchors, at the start of the joint
            phase.
        final_similarity: target at its end.
        negatives_of_real: whether real anchors take synthetic ones for negatives. With nt_xent only, if not.
        as_negatives: whether other anchors take the variants of the arm anchored for negatives, for comparison.
        tune_variants: whether the diffusion model of the arm anchored is tuned as well, through the last denoising
            steps, until its variants have the target similarity. They come into the bank as slices are made anew.
        variants: of the arm anchored.
    """

    share: PartialShare = 0.25
    start: PartialShare = 0.1
    generator_every: PositiveInt = 4
    oversample: PositiveInt = 1
    hardness_weight: NonNegativeFloat = 0.2
    hardness_warmup: UnitInterval = 0.2
    hardness_ceiling: UnitInterval = 0.95
    realism_floor: UnitInterval = 0.05
    similarity_weight: NonNegativeFloat = 10.0
    initial_similarity: Cosine = 0.95
    final_similarity: Cosine = 0.7
    negatives_of_real: bool = True
    as_negatives: bool = False
    tune_variants: bool = False
    variants: VariantConfig = field(default_factory=VariantConfig)


@dataclass
class CheckpointConfig:
    """Complete states of the run, to resume from.

    Attributes:
        every: steps between two checkpoints, pre-training steps included.
        keep: the number of checkpoints kept, the newest ones.
    """

    every: PositiveInt = 500
    keep: PositiveInt = 2


@dataclass
class EvaluationConfig:
    """The scores at the end of a run.

    Attributes:
        limit: the most labelled images that the linear probe trains on.
        labels: label budgets of the low-label probes, in images over all classes.
        test: whether the test split is scored; false while settings are still being chosen.
    """

    limit: PositiveInt = 10_000
    labels: list[PositiveInt] = field(default_factory=lambda: [10, 100])
    test: bool = True


@dataclass
class JointEvaluationConfig(EvaluationConfig):
    """The scores at the end of a joint training.

    Attributes:
        generated: generated images that are compared with the validation images.
        inception: weights of Inception v3, for a Fréchet distance in its features: a file, or "auto" for the one that
            torchmetrics keeps where it has fetched it before. Nothing is downloaded; without weights, or with null,
            this distance is left out.
    """

    generated: Annotated[int, Range(2)] = 2000
    inception: PathText | None = "auto"


@dataclass
class FinalEmissionConfig:
    """The dataset that the recipe writes at the end of a run; recipes/emit.py has all settings and runs at any time.

    Attributes:
        hard: rows of hard samples, for the arms hard and both.
        pairs: rows of positive pairs, for the arms pairs and both.
        shard_size: rows of a shard.
        output: the dataset directory; if not given, out/NAME for the run runs/NAME, in the same folder as runs, and
            the folder dataset in the run for any other.
    """

    hard: NonNegativeInt = 0
    pairs: NonNegativeInt = 0
    shard_size: PositiveInt = 500
    output: PathText | None = None


@dataclass
class JointConfig:
    """Joint training of a contrastive encoder and an image generator.

    Attributes:
        arm: what the encoder trains on: real images alone; with a frozen generator's images (inflate); with hard
            samples; with positive pairs; with both; or real images anchored with variants that a diffusion model makes
            of them, as further positives.
        seed: of everything random.
        output_dir: the run directory.
        resume: go on from the newest checkpoint in output_dir.
        page: write index.html, to look at the run: at every quarter of it, and at its end; and that of the dataset.
        tracker: also send the metrics, and the sample grids if it takes images, to this tracker of Accelerate.
        data: the images.
        views: augmentation of real images.
        synthetic_views: augmentation of synthetic images, weaker by default.
        slimming: the slim encoder of train.objective sacl_xd.
        evaluation: the scores at the end.
        emission: the dataset written at the end.
    """

    arm: Arm = "both"
    seed: Seed = 0
    output_dir: PathText = "runs/joint"
    resume: bool = False
    page: bool = True
    tracker: Tracker | None = None
    data: DataConfig = field(default_factory=DataConfig)
    views: ViewConfig = field(default_factory=ViewConfig.simclr)
    synthetic_views: ViewConfig = field(default_factory=ViewConfig.weak)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    train: JointTrainConfig = field(default_factory=JointTrainConfig)
    slimming: SlimmingConfig = field(default_factory=SlimmingConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    evaluation: JointEvaluationConfig = field(default_factory=JointEvaluationConfig)
    emission: FinalEmissionConfig = field(default_factory=FinalEmissionConfig)
