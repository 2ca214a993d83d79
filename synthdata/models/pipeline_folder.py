"""Unconditional diffusers pipelines on disk: what is read of them, safetensors only, and how they are written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vq_model import VQModel
from diffusers.models.unets.unet_2d import UNet2DModel

from synthdata.errors import MisuseError
from synthdata.formats import ModelIndex
from synthdata.models.noising import Consistency, NoiseProcess, noise_process
from synthdata.reading import read_json, shown

_AUTOENCODERS = {"VQModel": VQModel, "AutoencoderKL": AutoencoderKL}
_FITTING = "an unconditional pipeline would fit, such as a DDPMPipeline, DDIMPipeline, LDMPipeline or GANPipeline"


@dataclass(frozen=True)
class PipelineParts:
    """What an unconditional diffusion pipeline is made of.

    Attributes:
        unet: the denoiser.
        process: the noise process, with a deterministic solver.
        autoencoder: a VQModel or AutoencoderKL between images and what the denoiser works on; None if that is pixels.
    """

    unet: UNet2DModel
    process: NoiseProcess
    autoencoder: Any = None

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Shape of the noise that sampling starts from."""
        settings: Any = self.unet.config
        return settings.in_channels, settings.sample_size, settings.sample_size

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        scale = 1 if self.autoencoder is None else 2 ** (len(self.autoencoder.config.block_out_channels) - 1)
        return self.latent_shape[1] * scale

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.latent_shape[0] if self.autoencoder is None else self.autoencoder.config.out_channels


def read_pipeline(folder: Path, source: str) -> PipelineParts:
    """The parts of the pipeline in ``folder``, on the CPU in float32.

    Args:
        folder: holds model_index.json.
        source: what the user named, for messages.

    Raises:
        MisuseError: if the pipeline is conditional, its denoiser is not a ``UNet2DModel``, its weights are missing or
            pickles, or its scheduler does not run deterministically.
    """
    index: dict[str, Any] = dict(read_json(folder / "model_index.json", ModelIndex, error=MisuseError))
    named = {name: _class_of(name, value, source) for name, value in index.items() if isinstance(value, list)}
    parts = {name: kind for name, kind in named.items() if kind is not None}
    coder = next((name for name, kind in parts.items() if kind in _AUTOENCODERS), None)
    foreign = sorted(parts.keys() - {"unet", "scheduler", coder})
    if foreign or parts.get("unet") != "UNet2DModel" or "scheduler" not in parts:
        found = f"with {foreign[0]}" if foreign else f"whose denoiser is {parts.get('unet', 'missing')}"
        raise MisuseError(f"{source} holds a {index['_class_name']} {found}: {_FITTING}")
    unet = load_network(UNet2DModel, _folder_of(folder, "unet"))
    _check_unet(unet, source)
    scheduler_class = getattr(diffusers, parts["scheduler"], None)
    if scheduler_class is None or not issubclass(scheduler_class, diffusers.SchedulerMixin):
        raise MisuseError(f"{source} names {parts['scheduler']} as its scheduler, which diffusers does not have")
    process = noise_process(scheduler_class.from_pretrained(_folder_of(folder, "scheduler")), source)
    autoencoder = load_network(_AUTOENCODERS[parts[coder]], _folder_of(folder, coder)) if coder else None
    return PipelineParts(unet, process, autoencoder)


def write_pipeline(parts: PipelineParts, folder: Path) -> None:
    """Write ``parts`` as the stock pipeline whose sampling fits them, which ``from_pretrained`` loads."""
    scheduler: Any = parts.process.scheduler
    pipeline: Any
    if parts.autoencoder is not None:
        pipeline = diffusers.LDMPipeline(parts.autoencoder, parts.unet, scheduler)
    elif isinstance(parts.process, Consistency):
        pipeline = diffusers.ConsistencyModelPipeline(parts.unet, scheduler)
    elif isinstance(scheduler, diffusers.DDIMScheduler):
        pipeline = diffusers.DDIMPipeline(parts.unet, scheduler)
    else:
        pipeline = diffusers.DDPMPipeline(parts.unet, scheduler)  # the one that takes any scheduler as it is
    pipeline.save_pretrained(folder, safe_serialization=True)


def load_network(network_class: Any, folder: Path) -> Any:
    """The diffusers network saved in ``folder`` as safetensors, in float32 and evaluation mode.

    Raises:
        MisuseError: if its weights are missing, pickles, or those of another network.
    """
    if not list(folder.glob("diffusion_pytorch_model*.safetensors")):
        pickles = sorted(path.name for path in folder.glob("diffusion_pytorch_model*.bin"))
        found = f"its weights as a pickle, {pickles[0]}, which could run code" if pickles else "no safetensors weights"
        raise MisuseError(f"{folder} holds {found}: diffusion_pytorch_model.safetensors would fit")
    network, loaded = network_class.from_pretrained(
        folder, use_safetensors=True, low_cpu_mem_usage=False, output_loading_info=True
    )
    if wrong := [*loaded["missing_keys"], *loaded["mismatched_keys"]]:
        # diffusers would fill what a file lacks with random numbers
        raise MisuseError(f"{folder} holds the weights of another network ({wrong[0]}): restore it or train again")
    return network.float().eval()


def _class_of(name: str, value: list[Any], source: str) -> str | None:
    if len(value) != 2 or not isinstance(value[1], str | None):
        raise MisuseError(f"model_index.json of {source} has {name} {shown(value)}: it must be a library and a class")
    return value[1]


def _folder_of(folder: Path, part: str) -> Path:
    """Where a part is: the oldest pipelines of the Hub keep all parts in one folder."""
    return folder / part if (folder / part).is_dir() else folder


def _check_unet(unet: UNet2DModel, source: str) -> None:
    settings: Any = unet.config
    if settings.class_embed_type is not None or settings.num_class_embeds is not None:
        raise MisuseError(f"{source} makes images of classes that it is told: {_FITTING}")
    if settings.out_channels != settings.in_channels:
        raise MisuseError(
            f"{source} has a denoiser of {settings.in_channels} channels that answers {settings.out_channels}, with "
            "variances that are learned: one that answers as many as it is given would fit"
        )
    if not isinstance(settings.sample_size, int):
        raise MisuseError(
            f"{source} has a denoiser of sample_size {settings.sample_size}: one for squares, such as 32, would fit"
        )
