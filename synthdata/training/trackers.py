"""The trackers that Accelerate knows: whether one is installed, and how it takes images."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from accelerate import Accelerator
from accelerate.utils import (
    is_aim_available,
    is_clearml_available,
    is_comet_ml_available,
    is_dvclive_available,
    is_mlflow_available,
    is_swanlab_available,
    is_tensorboard_available,
    is_trackio_available,
    is_wandb_available,
)
from PIL import Image

from synthdata.errors import MisuseError

Tracker = Literal["tensorboard", "wandb", "trackio", "mlflow", "aim", "comet_ml", "clearml", "dvclive", "swanlab"]

_INSTALLED: dict[Tracker, Callable[[], bool]] = {
    "tensorboard": is_tensorboard_available,
    "wandb": is_wandb_available,
    "trackio": is_trackio_available,
    "mlflow": is_mlflow_available,
    "aim": is_aim_available,
    "comet_ml": is_comet_ml_available,
    "clearml": is_clearml_available,
    "dvclive": is_dvclive_available,
    "swanlab": is_swanlab_available,
}


def check_tracker(tracker: Tracker | None) -> None:
    """Raise ``MisuseError`` if ``tracker`` is not installed."""
    if tracker and not _INSTALLED[tracker]():
        raise MisuseError(f"tracker {tracker} is not installed: pip install {tracker}")


def log_picture(accelerator: Accelerator, name: str, path: Path, iteration: int) -> None:
    """Send an image file to the run's tracker, if that takes images."""
    for tracker in accelerator.trackers:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        match tracker.name:
            case "tensorboard":
                tracker.log_images({name: pixels[None]}, step=iteration, dataformats="NHWC")
            case "wandb" | "swanlab":
                tracker.log_images({name: [pixels]}, step=iteration)
            case "aim" | "clearml":
                tracker.log_images({name: pixels}, step=iteration)
            case "trackio":
                import trackio

                tracker.log({name: trackio.Image(pixels)}, step=iteration)
