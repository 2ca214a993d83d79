"""What contrastive training on emitted datasets can be told, with the default of everything."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from synthdata.data import DataConfig
from synthdata.data.pairs import Kinds, OnCorrupt
from synthdata.models import EncoderConfig
from synthdata.paths import PathText
from synthdata.ranges import NonNegativeFloat, NonNegativeInt, PartialShare, PositiveInt, Seed, UnitInterval
from synthdata.settings import settings_of
from synthdata.training.config import CheckpointConfig, EvaluationConfig, SlimmingConfig, TrainConfig
from synthdata.training.trackers import Tracker
from synthdata.views import ViewConfig

Method = Literal[
    "simclr",
    "mocov2",
    "mocov3",
    "nnclr",
    "byol",
    "simsiam",
    "barlowtwins",
    "vicreg",
    "debiased",
    "hard_negative",
    "hasa",
    "sacl_xd",
]
Mix = Literal["ratio", "adainf"]


@dataclass(frozen=True)
class MethodConfig(SlimmingConfig):
    """What the methods have beyond an encoder and a temperature; those of SlimmingConfig are of sacl_xd.

    Attributes:
        momentum: share of the momentum encoder that a step keeps: constant for mocov2, rising from here to 1 over the
            training for mocov3 and byol. Long trainings want it nearer to 1: 0.999 (MoCo), 0.996 (BYOL).
        queue_size: embeddings of earlier batches: the negatives of mocov2, and where nnclr looks for neighbours.
        predictor_dim: hidden units of the predictor of mocov3, nnclr, byol and simsiam.
        class_prior: τ⁺ of debiased and hard_negative: the probability that a negative is of the anchor's own class;
            of hasa, that it is false.
        concentration: β of hard_negative and hasa: how much harder negatives count more; 0 counts all alike.
        related: constructed negatives of each anchor that a step reads, drawn among those it has.
    """

    momentum: UnitInterval = 0.99
    queue_size: PositiveInt = 1024
    predictor_dim: PositiveInt = 256
    class_prior: PartialShare = 0.1
    concentration: NonNegativeFloat = 0.5
    related: PositiveInt = 1


@dataclass
class ContrastSettings:
    """What contrastive trainings that are compared have in common.

    Attributes:
        kinds: which configs of an emitted dataset are read: hard, pairs, or all that it has.
        on_corrupt: refuse a dataset with a damaged shard, or skip the shard.
        resident_gib: synthetic images that take more memory than this are decoded as they are read, in GiB.
        workers: processes that decode such images.
        method: simclr (Chen et al. 2020), mocov2 (Chen et al. 2020), mocov3 (Chen et al. 2021), nnclr (Dwibedi et al.
            2021), byol (Grill et al. 2020), simsiam (Chen & He 2021), barlowtwins (Zbontar et al. 2021), vicreg (Bardes
            et al. 2022), debiased (Chuang et al. 2020), hard_negative (Robinson et al. 2021), sacl_xd (Meng et al.
            2023) or, with constructed negatives, hasa (Zhang et al. 2024).
        method_settings: what the methods have beyond an encoder and a temperature.
        synthetic_share: share of the anchors that is synthetic, where there are both.
        page: write index.html, to look at what came of it.
        tracker: also send the metrics to this tracker of Accelerate.
        views: augmentation of real images.
        synthetic_views: augmentation of synthetic images, weaker by default.
        evaluation: the scores at the end.
    """

    kinds: Kinds = "all"
    on_corrupt: OnCorrupt = "refuse"
    resident_gib: NonNegativeFloat = 4.0
    workers: NonNegativeInt = 2
    method: Method = "simclr"
    method_settings: MethodConfig = field(default_factory=MethodConfig)
    synthetic_share: UnitInterval = 0.5
    page: bool = True
    tracker: Tracker | None = None
    views: ViewConfig = field(default_factory=ViewConfig.simclr)
    synthetic_views: ViewConfig = field(default_factory=ViewConfig.weak)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


@dataclass
class ContrastConfig(ContrastSettings):
    """Contrastive training of an encoder on an emitted dataset, on real images, or on both.

    Attributes:
        shards: the synthetic images: a dataset directory, or a repository of the Hub as OWNER/NAME or
            hf://datasets/OWNER/NAME. None if not given.
        relations: constructed negatives of the real images, which simclr, debiased, hard_negative and hasa read beside
            those of the batch: a directory that `synthdata construct hard_negatives` made, or a repository of the Hub.
        data: the real images. None if not given: the encoder sees synthetic images only, and is not scored.
        mix: "ratio" mixes by synthetic_share. "adainf" (Wang et al., ICLR 2024) lets each real image count as ten
            synthetic ones, and gives all images the weaker synthetic_views.
        seed: of everything random.
        output_dir: the run directory.
        resume: go on from the newest checkpoint in output_dir.
    """

    shards: PathText | None = None
    relations: PathText | None = None
    data: DataConfig | None = None
    mix: Mix = "ratio"
    seed: Seed = 0
    output_dir: PathText = "runs/contrast"
    resume: bool = False


def one_of_several(settings: ContrastSettings, data: DataConfig, seed: int, folder: Path) -> ContrastConfig:
    """One of the runs that a program compares: it goes on where it was, and keeps one checkpoint meanwhile."""
    shared = settings_of(settings, ContrastSettings)
    shared["checkpoint"] = replace(settings.checkpoint, keep=1)
    return ContrastConfig(**shared, data=data, seed=seed, output_dir=str(folder), resume=True)
