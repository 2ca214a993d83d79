"""What a federation can be told, with the default of everything."""

from dataclasses import dataclass, field
from typing import Literal

from synthdata.data import DataConfig
from synthdata.models import DataFreeConfig, EncoderConfig
from synthdata.paths import PathText
from synthdata.ranges import NonNegativeFloat, PartialShare, PositiveFloat, PositiveInt, Seed, UnitInterval
from synthdata.training.config import CheckpointConfig
from synthdata.views import ViewConfig

Method = Literal["fedavg", "fedprox", "fedlwf", "mfcl", "oracle"]


@dataclass
class FederatedTrainConfig:
    """A client's training, and what the server asks of its clients.

    Attributes:
        clients_per_round: clients that train in a round.
        epochs: passes of a client over its images in a round.
        batch_size: images of one step; mfcl adds those of the generator.
        learning_rate: of SGD, in the first round of a task.
        final_learning_rate: what it falls to, exponentially, within a task.
        weight_decay: of all weights.
        dropout: share of the clients' updates that are lost, at random, as where clients go away; the round goes on
            without them.
        mixed_precision: "bf16" runs the networks in bfloat16.
        log_every: rounds between two lines of metrics.jsonl.
    """

    clients_per_round: PositiveInt = 5
    epochs: PositiveInt = 2
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 0.1
    final_learning_rate: PositiveFloat = 0.01
    weight_decay: NonNegativeFloat = 1e-5
    dropout: PartialShare = 0.0
    mixed_precision: Literal["no", "bf16"] = "no"
    log_every: PositiveInt = 1


@dataclass
class RehearsalConfig:
    """How mfcl, and in part fedlwf, keeps the old classes.

    Attributes:
        images: where mfcl's images of old classes come from: the generator; or, as controls that tell what it gives,
            plain noise, or a generator that learned from a classifier that never learned.
        ratio: of them in a step, images of each old class for every image of a new class. Fewer than 1 let the last
            layer forget the old classes.
        split: separate new classes from each other alone; without it, from the old ones too.
        head_weight: of the cross entropy that trains the last layer alone.
        distillation_weight: of mfcl's distance between the features now and before.
        steps: of the generator's training before each task but the first.
        batch_size: images of one of these steps.
        learning_rate: of Adam in them.
        lwf_weight: of fedlwf's divergence from the answers before.
        lwf_temperature: divisor of the logits in it.
    """

    images: Literal["generator", "noise", "untrained"] = "generator"
    ratio: PositiveFloat = 1.0
    split: bool = True
    head_weight: NonNegativeFloat = 1.0
    distillation_weight: NonNegativeFloat = 0.1
    steps: PositiveInt = 300
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    lwf_weight: NonNegativeFloat = 1.0
    lwf_temperature: PositiveFloat = 2.0


@dataclass
class ContrastConfig:
    """Contrastive learning of mfcl's encoder before the classes of a task are learned.

    Attributes:
        share: of a task's rounds, the first ones.
        temperature: divisor of the cosine similarities in NT-Xent.
        views: augmentation of the images.
    """

    share: UnitInterval = 0.34
    temperature: PositiveFloat = 0.2
    views: ViewConfig = field(default_factory=ViewConfig.weak)


@dataclass
class FederatedConfig:
    """Class-incremental learning over clients that keep their images.

    Attributes:
        data: labelled images, whose classes arrive in tasks.
        method: fedavg; fedprox, which holds clients near the global weights; fedlwf, which distils on the clients' own
            images; mfcl, which distils on a generator's too; or oracle, whose clients keep the images of all tasks.
        tasks: how many there are; the classes, in an order of the seed, are divided among them.
        clients: how many there are.
        rounds: of every task.
        partition: "dirichlet": clients differ in their classes; "equal": each has the same share of every class.
        alpha: concentration of the Dirichlet distribution; the smaller, the fewer classes a client has.
        proximal_weight: of fedprox's distance to the global weights.
        contrastive: in the first rounds of a task mfcl's clients train the encoder alone, with contrastive learning on
            their own images and the generator's.
        test: score on the test images; on the validation images where it is false, as while settings are chosen.
        seed: of everything random.
        output_dir: the run directory.
        resume: go on from the newest round in output_dir.
        tracker: also send the metrics to this tracker of Accelerate.
        checkpoint: rounds after which the state is kept.
    """

    data: DataConfig = field(default_factory=DataConfig)
    method: Method = "mfcl"
    tasks: PositiveInt = 5
    clients: PositiveInt = 10
    rounds: PositiveInt = 10
    partition: Literal["dirichlet", "equal"] = "dirichlet"
    alpha: PositiveFloat = 1.0
    proximal_weight: NonNegativeFloat = 0.01
    contrastive: bool = False
    test: bool = True
    seed: Seed = 0
    output_dir: PathText = "runs/federated"
    resume: bool = False
    tracker: Literal["tensorboard"] | None = None
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    train: FederatedTrainConfig = field(default_factory=FederatedTrainConfig)
    rehearsal: RehearsalConfig = field(default_factory=RehearsalConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    generator: DataFreeConfig = field(default_factory=DataFreeConfig)
    checkpoint: CheckpointConfig = field(default_factory=lambda: CheckpointConfig(every=1, keep=1))
