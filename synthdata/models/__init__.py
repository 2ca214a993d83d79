"""Encoders and image generators, saved and loaded with ``save_pretrained`` and ``from_pretrained``."""

from synthdata.models.batch_norm import synchronise_batch_norm
from synthdata.models.diffusion import Diffusion, DiffusionConfig
from synthdata.models.encoder import Encoder, EncoderConfig
from synthdata.models.gan import GAN, GANConfig, GANPipeline
from synthdata.models.generator import Generator, GeneratorKind, Member
from synthdata.models.loading import load_generator
from synthdata.models.residual import Discriminator, ResidualGenerator

__all__ = [
    "GAN",
    "Diffusion",
    "DiffusionConfig",
    "Discriminator",
    "Encoder",
    "EncoderConfig",
    "GANConfig",
    "GANPipeline",
    "Generator",
    "GeneratorKind",
    "Member",
    "ResidualGenerator",
    "load_generator",
    "synchronise_batch_norm",
]
