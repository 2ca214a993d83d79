"""Opening saved generators, from a folder or the Hub, safetensors only."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffusers.utils import logging
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open

from synthdata.errors import FailureError, MisuseError, shortened
from synthdata.formats import ModelIndex
from synthdata.models.classifier import load_classifier
from synthdata.models.data_free import CLASSIFIER, DataFree, DataFreePipeline
from synthdata.models.diffusion import Diffusion, DiffusionConfig
from synthdata.models.finite import check_finite
from synthdata.models.gan import GAN, GANConfig, GANPipeline
from synthdata.models.generator import Generator
from synthdata.models.latent import LatentPipeline
from synthdata.reading import read_json

_WEIGHTS = "diffusion_pytorch_model.safetensors"


def load_generator(
    source: str | Path, gan: GANConfig | None = None, diffusion: DiffusionConfig | None = None
) -> Generator:
    """The generator saved in a pipeline folder or a Hub repository, ready to sample or to train on.

    Args:
        source: a folder with model_index.json, such as a run's ``generator/`` or any unconditional pipeline of
            diffusers whose denoiser is a ``UNet2DModel``, or ``owner/name`` on the Hub.
        gan: regularisation for further training of a GAN; its architecture is the saved one.
        diffusion: likewise sampling and tuning of a diffusion model; as saved, or the defaults, if not given.

    Raises:
        MisuseError: if there is no pipeline there, or not one that this package can train, or its weights are pickles.
        FailureError: if the Hub does not answer.
    """
    folder = _local_folder(str(source))
    index = folder / "model_index.json"
    if not index.is_file():
        raise MisuseError(
            f"{source} holds no model_index.json: name a diffusers pipeline, such as the generator/ of a finished run"
        )
    try:
        check_finite(folder)
        named = read_json(index, ModelIndex, "restore it or train again", MisuseError)["_class_name"]
        with _quiet():
            if named == "GANPipeline":
                return _load_gan(folder, str(source), gan)
            if named == "DataFreePipeline":
                return _load_data_free(folder, str(source))
            return Diffusion.from_folder(folder, str(source), diffusion)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = shortened(str(error), 160)
        raise MisuseError(f"{source} cannot be loaded ({reason}): restore its files or train again") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep diffusers' warnings and bars from standing before what is wrong, or from standing there at all."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load_gan(folder: Path, source: str, gan: GANConfig | None) -> GAN:
    _check_weights(folder, source, ("generator", "partner", "discriminator"))
    pipeline = GANPipeline.from_pretrained(folder, use_safetensors=True)
    _check_names(folder, pipeline)
    return GAN.from_pipeline(pipeline, gan)


def _load_data_free(folder: Path, source: str) -> DataFree:
    _check_weights(folder, source, ("generator", "partner"))
    pipeline = DataFreePipeline.from_pretrained(folder, use_safetensors=True)
    _check_names(folder, pipeline)
    return DataFree.from_pipeline(pipeline, load_classifier(folder / CLASSIFIER))


def _check_weights(folder: Path, source: str, parts: Sequence[str]) -> None:
    for part in parts:
        if not (folder / part / _WEIGHTS).is_file():
            raise MisuseError(f"{source} holds no safetensors weights of its {part}: the folder is incomplete")


def _check_names(folder: Path, pipeline: LatentPipeline) -> None:
    """diffusers would fill what a foreign file lacks with random numbers."""
    for part, network in pipeline.components.items():
        path = folder / part / _WEIGHTS
        with safe_open(path, "pt") as file:
            if set(file.keys()) != network.state_dict().keys():
                raise MisuseError(f"{path} holds the weights of another network: restore the file or train again")


def _local_folder(source: str) -> Path:
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(source, allow_patterns=["*.json", "*.safetensors"]))
    except HFValidationError as error:
        raise MisuseError(f"{source} is neither a folder nor a repository OWNER/NAME on the Hub") from error
    except (HfHubHTTPError, OSError) as error:
        raise FailureError(f"cannot fetch {source} from the Hub: {error}") from error
