"""Encoders, image classifiers and image generators, saved and loaded with ``save_pretrained`` and ``from_pretrained``.

In come latents or images, and folders of weights (safetensors alone); out come embeddings, logits, images, and the
losses of GAN, diffusion and what learns from a classifier alone behind one interface, ``Generator``. ``load_generator``
opens any kind, ``load_classifier`` any classifier. Training, emission, evaluation and benchmarks call it; it never
imports what trains, and reads no data set.
"""

from synthdata.models.batch_norm import synchronise_batch_norm
from synthdata.models.classifier import Classifier, LinearClassifier, load_classifier
from synthdata.models.cost import cost_of, images_per_second
from synthdata.models.data_free import DataFree, DataFreeConfig, DataFreePipeline
from synthdata.models.diffusion import Diffusion, DiffusionConfig
from synthdata.models.encoder import Encoder, EncoderConfig
from synthdata.models.gan import GAN, GANConfig, GANPipeline
from synthdata.models.generator import Generator, GeneratorKind, Member
from synthdata.models.loading import load_generator
from synthdata.models.residual import Discriminator, ResidualGenerator
from synthdata.models.slimming import cut_by_norm, cut_out, estimate_statistics, largest, slim_widths

__all__ = [
    "GAN",
    "Classifier",
    "DataFree",
    "DataFreeConfig",
    "DataFreePipeline",
    "Diffusion",
    "DiffusionConfig",
    "Discriminator",
    "Encoder",
    "EncoderConfig",
    "GANConfig",
    "GANPipeline",
    "Generator",
    "GeneratorKind",
    "LinearClassifier",
    "Member",
    "ResidualGenerator",
    "cost_of",
    "cut_by_norm",
    "cut_out",
    "estimate_statistics",
    "images_per_second",
    "largest",
    "load_classifier",
    "load_generator",
    "slim_widths",
    "synchronise_batch_norm",
]
