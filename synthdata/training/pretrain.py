"""A generator pre-trained on its own, for several trainings to start from (``generator.pretrained``)."""

from dataclasses import replace
from typing import Any

from synthdata.data import RealData
from synthdata.training.config import JointConfig
from synthdata.training.execution import execute, start_accelerator
from synthdata.training.joint import JointTraining
from synthdata.training.run_directory import RunDirectory
from synthdata.training.train import build_training


class _Pretraining:
    """The iterations of a joint training that come before the encoder's first."""

    def __init__(self, training: JointTraining) -> None:
        self.iterations = training.plan.pretrain_steps
        self.describe, self.start_at, self.run = training.describe, training.start_at, training.run
        self.state_dict, self.load_state_dict = training.state_dict, training.load_state_dict


def pretrain_generator(config: JointConfig, data: RealData, deadline: float | None = None) -> dict[str, Any]:
    """Run the pre-training of ``config`` and nothing else; its run directory gets generator/ and report.json.

    Args:
        config: with an arm that has a generator.
        data: what ``config.data`` names.
        deadline: when to save and stop, in seconds of ``time.monotonic``.

    Returns:
        The content of report.json, on the first process.

    Raises:
        as ``train_joint``.
    """
    accelerator = start_accelerator(config)
    config = replace(config, data=replace(config.data, image_size=data.train.image_size))
    training = build_training(config, data, accelerator)

    def finish(run: RunDirectory) -> dict[str, Any]:
        generator, plan = training.generator, training.plan
        assert generator is not None
        generator.begin_tuning()  # member b starts as a copy of a for whoever goes on from here
        run.replace_folder(run.generator, generator.save_pretrained)
        images = plan.pretrain_steps * plan.generator_batch
        return {"seed": config.seed, "pretrain_steps": plan.pretrain_steps, "images_seen": images}

    return execute(_Pretraining(training), config, accelerator, finish, deadline=deadline)
