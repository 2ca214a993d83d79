"""A joint training small enough for a test: a second for its steps."""

from pathlib import Path
from typing import Any

from synthdata.configuration import parse
from synthdata.training import JointConfig

_SETTINGS: dict[str, Any] = {
    "data.source": "digits",
    "data.image_size": 16,
    "data.limit": 128,
    "encoder.width": 4,
    "encoder.hidden_dim": 16,
    "encoder.projection_dim": 8,
    "generator.gan.latent_dim": 8,
    "generator.gan.width": 4,
    "generator.gan.max_width": 8,
    "generator.batch_size": 8,
    "generator.pretrain_steps": 4,
    "train.batch_size": 16,
    "train.steps": 6,
    "train.log_every": 1,
    "synthetic.generator_every": 2,
    "evaluation.limit": 200,
    "evaluation.labels": [],
}

TINY_DIFFUSION: dict[str, Any] = {
    "generator__kind": "diffusion",
    "generator__diffusion__widths": "[4,8]",
    "generator__diffusion__lora_rank": 2,
    "generator__diffusion__sampling_steps": 4,
    "synthetic__start": 0.0,
    "evaluation__test": False,
}
"""Changes that make the generator a diffusion model."""


def tiny_flags(output_dir: Path, **changes: Any) -> list[str]:
    """Flags of a tiny run; a changed setting is written with ``__`` for each dot."""
    settings = (
        _SETTINGS | {"output_dir": output_dir} | {key.replace("__", "."): value for key, value in changes.items()}
    )
    return [f"--{key}={value}" for key, value in settings.items()]


def tiny_config(output_dir: Path, **changes: Any) -> JointConfig:
    """The configuration of ``tiny_flags``."""
    return parse(JointConfig, "", tiny_flags(output_dir, **changes))
