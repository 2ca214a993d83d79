"""How many real and synthetic images the steps of a contrastive training use, over all processes."""

from dataclasses import dataclass

from synthdata.errors import MisuseError
from synthdata.training.contrast_config import ContrastConfig

ADAINF_REPLICATION = 10
"""How often the data mix of AdaInf holds each real image (Wang et al., ICLR 2024, arXiv 2403.12448)."""

FEWEST_ANCHORS = 2
"""Every method's loss compares at least two anchors: as negatives, or in the statistics of the batch."""


@dataclass(frozen=True)
class ContrastPlan:
    """Counts of a run.

    Attributes:
        steps: encoder steps.
        accumulation: micro-batches of one step.
        real: real anchors of a micro-batch.
        synthetic: synthetic anchors of a micro-batch.
    """

    steps: int
    accumulation: int
    real: int
    synthetic: int

    @classmethod
    def of(cls, config: ContrastConfig, real_images: int, synthetic_rows: int, world_size: int) -> "ContrastPlan":
        """The plan of ``config`` for so many images on ``world_size`` processes.

        Raises:
            MisuseError: there are no images, or the batch is too small for the method or does not divide evenly.
        """
        batch = config.train.batch_size
        if real_images + synthetic_rows == 0:
            raise MisuseError("there is nothing to train on: give --shards, --data.source, or both")
        if config.mix == "adainf" and not (real_images and synthetic_rows):
            missing = "--shards" if real_images else "--data.source"
            raise MisuseError(f"--mix adainf mixes real and synthetic images: give {missing} as well")
        if batch % world_size:
            raise MisuseError(f"train.batch_size is {batch}: on {world_size} processes it must be a multiple of that")
        if batch < FEWEST_ANCHORS:
            raise MisuseError(f"train.batch_size is {batch}: {config.method} needs at least {FEWEST_ANCHORS} anchors")
        if config.method in ("mocov2", "nnclr") and config.method_settings.queue_size < batch:
            raise MisuseError(
                f"method_settings.queue_size is {config.method_settings.queue_size}, less than one batch of {batch}: "
                "make the queue longer or the batch smaller"
            )
        share = _synthetic_share(config, real_images, synthetic_rows)
        synthetic = round(batch * share / world_size) * world_size
        return cls(config.train.steps, config.train.accumulation, batch - synthetic, synthetic)

    @property
    def batch(self) -> int:
        """Anchors of a micro-batch."""
        return self.real + self.synthetic

    @property
    def images(self) -> int:
        """Anchors that the encoder sees over the whole run."""
        return self.images_before(self.steps)

    def images_before(self, step: int) -> int:
        """Anchors that the encoder has seen before ``step``."""
        return step * self.accumulation * self.batch


def _synthetic_share(config: ContrastConfig, real_images: int, synthetic_rows: int) -> float:
    if not real_images or not synthetic_rows:
        return float(real_images == 0)
    if config.mix == "adainf":
        return synthetic_rows / (synthetic_rows + ADAINF_REPLICATION * real_images)
    return config.synthetic_share
