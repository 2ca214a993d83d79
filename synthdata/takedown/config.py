"""What a takedown can be told, with the default of everything."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from synthdata.paths import PathText
from synthdata.ranges import NonNegativeFloat, PositiveFloat, Range, UnitInterval
from synthdata.training import JointConfig

Method = Literal["calibration", "contrastive", "retrain", "finetune", "ascent"]
GeneratorWay = Literal["tune", "retrain"]
SomeShare = Annotated[float, Range(0, 1, open_low=True)]


@dataclass
class ForgettingConfig:
    """How the images leave the encoder and the generator.

    Attributes:
        run: the run before: a run directory of recipes/joint.py, or of an earlier takedown. It is only read.
        method: of the encoder. "calibration" (Wang et al., TMLR 2025) and "contrastive" (Lee et al., IJCAI 2025) start
            from the trained encoder; "retrain" trains encoder and generator anew without the images, which alone is
            exact; "finetune" (more training on what is retained) and "ascent" (the contrastive loss of the images,
            raised) are what the others are compared with.
        supervised: use the labels in "contrastive", as its paper does; else other views of an image and retained
            images take the places of images of its class and of others.
        generator: "tune" trains a GAN away from the images, "retrain" trains the generator anew, beside the encoder
            that has forgotten. If not given, a GAN is tuned, and a diffusion model trained anew.
        share: most steps of the encoder and of the tuning of the generator, as a share of the run's own.
        stop: end the encoder's steps when the views of the forgotten images are no more alike to it than those of
            validation images (supervised: when it classifies them no better). Going on would mark them out again.
        learning_rate: of the encoder; a fifth of the run's own if not given.
        forgotten_share: share of a batch that is forgotten images.
        unlearning_weight: λ_UL of "contrastive", of what pushes and pulls the images.
        retaining_weight: λ_CE of "contrastive", of the loss of the retained images: the cross entropy of their labels,
            or NT-Xent.
        negative_weight: α of "calibration", of the forgotten images in NT-Xent.
        positive_weight: β of "calibration", of what drives their views apart.
        replay_weight: weight of the squared distance of a tuned generator's images from those that it made before.
    """

    run: PathText = "runs/digits"
    method: Method = "calibration"
    supervised: bool = False
    generator: GeneratorWay | None = None
    share: SomeShare = 0.08
    stop: bool = True
    learning_rate: PositiveFloat | None = None
    forgotten_share: UnitInterval = 0.25
    unlearning_weight: NonNegativeFloat = 3.0
    retaining_weight: NonNegativeFloat = 1.0
    negative_weight: NonNegativeFloat = 1.0
    positive_weight: NonNegativeFloat = 10.0
    replay_weight: NonNegativeFloat = 10.0


@dataclass
class TakedownConfig(ForgettingConfig):
    """Take listed training images out of a run.

    Attributes:
        forget: a text file with one image a line: the number of a row of the source, the path of a file of an image
            folder, the sha256 of an image file, or class:NAME. Or near:IMAGE_FILE, for the training images that look
            like a given one: they are shown, and a question is asked.
        near_distance: how far, as 1 − cosine of the encoder's embeddings, an image may be from that of near: at most;
            if not given, as close as one training image in twenty is to another.
        yes: take down what near: finds without a question.
        output_dir: the run directory of the new run.
        resume: go on from the newest checkpoint in output_dir.
        page: write index.html, to look at the run.
    """

    forget: PathText = "forget.txt"
    near_distance: PositiveFloat | None = None
    yes: bool = False
    output_dir: PathText = "runs/takedown"
    resume: bool = False
    page: bool = True


@dataclass
class TakedownRunConfig(JointConfig):
    """A run from which images were taken: the settings of the run before, less the images in ``data.exclude``.

    Attributes:
        takedown: how they were taken from it.
    """

    takedown: ForgettingConfig = field(default_factory=ForgettingConfig)
