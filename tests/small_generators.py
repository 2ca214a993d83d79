"""Generators and stock diffusers pipelines that are small enough for tests."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ConsistencyModelPipeline,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DiffusionPipeline,
    LDMPipeline,
    UNet2DModel,
    VQModel,
)

from synthdata.models import GAN, Diffusion, DiffusionConfig, GANConfig, Generator
from synthdata.rng import generator_at

SMALL_GAN = GANConfig(latent_dim=8, width=4, max_width=8)
SMALL_DIFFUSION: dict[str, Any] = {"widths": [4, 8], "lora_rank": 2, "sampling_steps": 4}


def small_gan(image_size: int = 16, channels: int = 3, seed: int = 0) -> GAN:
    torch.manual_seed(seed)
    return GAN(SMALL_GAN, image_size, channels)


def small_diffusion(image_size: int = 16, channels: int = 3, seed: int = 0, **changes: Any) -> Diffusion:
    torch.manual_seed(seed)
    return Diffusion.untrained(DiffusionConfig(**SMALL_DIFFUSION | changes), image_size, channels)


def tuned(generator: Generator) -> Generator:
    """The generator with members and averages that all differ, as if it had been pre-trained and tuned."""
    scramble(generator, "pre-trained")
    generator.update_average(0.0)
    generator.begin_tuning()
    scramble(generator, "tuned")
    generator.update_average(0.5)
    return generator


def scramble(module: torch.nn.Module, purpose: str) -> None:
    """Give every trained parameter a value of its own, so that no two networks agree by accident."""
    generator = generator_at(purpose)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=generator) * 0.1


def small_unet(**changes: Any) -> UNet2DModel:
    torch.manual_seed(0)
    settings = {
        "sample_size": 16,
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": (4, 8),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
        "norm_num_groups": 2,
        "add_attention": False,
    }
    return UNet2DModel(**settings | changes)


def small_autoencoder(kind: type[VQModel] | type[AutoencoderKL]) -> VQModel | AutoencoderKL:
    """Between 16 px and latent codes of 8 px and 2 channels."""
    torch.manual_seed(1)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return kind(block_out_channels=(4, 8), latent_channels=2, norm_num_groups=2, layers_per_block=1, **blocks)


def save_stock_pipeline(folder: Path, scheduler: Any, **unet_changes: Any) -> Path:
    """Save a pipeline as diffusers itself would, and return its folder."""
    name = type(scheduler).__name__
    kinds: dict[str, type[DiffusionPipeline]] = {
        "DDIMScheduler": DDIMPipeline,
        "CMStochasticIterativeScheduler": ConsistencyModelPipeline,
    }
    kinds.get(name, DDPMPipeline)(small_unet(**unet_changes), scheduler).save_pretrained(folder)
    return folder


def save_latent_pipeline(folder: Path, kind: type[VQModel] | type[AutoencoderKL]) -> Path:
    """Likewise a pipeline whose denoiser works on the codes of ``small_autoencoder``."""
    unet = small_unet(sample_size=8, in_channels=2, out_channels=2)
    LDMPipeline(small_autoencoder(kind), unet, DDIMScheduler(clip_sample=False)).save_pretrained(folder)
    return folder
