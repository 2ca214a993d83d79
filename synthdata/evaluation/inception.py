"""The features of Inception v3, in which Fréchet distances are usually given, through torchmetrics."""

import pickle
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from synthdata.data import to_uint8
from synthdata.errors import MisuseError
from synthdata.paths import user_path

_FETCHED = "weights-inception-2015-12-05-6726825d.pth"
"""The name under which torchmetrics, when it is asked for this distance elsewhere, keeps the weights."""


def find_inception_weights(setting: str | None) -> Path | None:
    """The weights of Inception v3 that ``setting`` asks for; nothing is downloaded.

    Args:
        setting: a file in the format of torch-fidelity; "auto" for the one that torchmetrics has fetched before, where
            it and torch-fidelity are installed; None for none.

    Returns:
        The file; None if none is asked for, or "auto" finds none.

    Raises:
        MisuseError: a file is named that does not exist, or the libraries that read it are not installed.
    """
    if setting is None:
        return None
    installed = find_spec("torchmetrics") is not None and find_spec("torch_fidelity") is not None
    if setting == "auto":
        fetched = Path(torch.hub.get_dir()) / "checkpoints" / _FETCHED
        return fetched if installed and fetched.is_file() else None
    path = user_path(setting)
    if not path.is_file():
        raise MisuseError(f"evaluation.inception {setting} is no file: name weights of Inception v3, or leave it out")
    if not installed:
        raise MisuseError("evaluation.inception needs two more libraries: pip install torchmetrics torch-fidelity")
    return path


def load_inception(weights: Path) -> nn.Module:
    """Inception v3 up to its last pooling: uint8 RGB images (N, 3, H, W) to features (N, 2048).

    Raises:
        MisuseError: the file holds no weights of Inception v3.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        # torch-fidelity unpickles without restriction: only a file that holds nothing but tensors may reach it.
        torch.load(weights, weights_only=True)
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
    except (OSError, EOFError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        raise MisuseError(f"{weights} holds no weights of Inception v3 that torch-fidelity reads") from error


def inception_features(inception: nn.Module, images: Tensor) -> Tensor:
    """Features of images as the models make them.

    Args:
        inception: as ``load_inception`` gives it.
        images: (N, C, H, W) in [−1, 1], greyscale or RGB, of any size.

    Returns:
        (N, 2048).
    """
    return inception(to_uint8(images).expand(-1, 3, -1, -1))
