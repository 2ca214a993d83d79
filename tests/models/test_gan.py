import json
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from small_generators import SMALL_GAN, scramble, small_gan
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.models import GAN, GANConfig, GANPipeline, load_generator
from synthdata.rng import BatchRandom, generator_at


def latents(count: int) -> Tensor:
    return torch.randn(count, SMALL_GAN.latent_dim, generator=generator_at("latents"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [16, 32, 64, 128])
def test_images_have_the_size_asked_for_and_lie_between_minus_one_and_one(image_size: int, channels: int) -> None:
    gan = small_gan(image_size, channels)
    images = gan.sample(latents(2))
    assert images.shape == (2, channels, image_size, image_size)
    assert images.abs().max() <= 1
    assert gan.realism(images).shape == (2,)


@pytest.mark.parametrize("image_size", [8, 20, 256])
def test_an_unsupported_size_is_named_with_the_supported_ones(image_size: int) -> None:
    with pytest.raises(MisuseError, match=f"16, 32, 64, 128.*not {image_size}"):
        small_gan(image_size)


def test_realism_loss_trains_the_member_and_spares_the_discriminator() -> None:
    gan, random = small_gan(), BatchRandom(seed=0, step=0)
    images = gan.sample(latents(4))
    gan.realism_loss("a", images, torch.zeros_like(images), random).backward()
    assert all(parameter.grad is None for parameter in gan.critic_parameters())
    assert all(parameter.requires_grad for parameter in gan.critic_parameters())
    assert all(parameter.grad is not None for parameter in gan.members["a"].parameters())


def test_critic_loss_trains_the_discriminator_and_spares_the_members() -> None:
    gan, real = small_gan(), torch.rand(4, 3, 16, 16, generator=generator_at("real")) * 2 - 1
    terms = gan.critic_loss(real, gan.sample(latents(4)), step=0, random=BatchRandom(seed=0, step=0))
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in gan.critic_parameters())
    assert all(parameter.grad is None for parameter in gan.generator_parameters())


def test_the_gradient_penalty_comes_every_r1_interval_steps() -> None:
    gan, real = small_gan(), torch.zeros(2, 3, 16, 16)
    every = range(2 * SMALL_GAN.r1_interval)
    steps = [step for step in every if "r1" in gan.critic_loss(real, real, step, BatchRandom(0, 7))]
    assert steps == [0, SMALL_GAN.r1_interval]


@pytest.fixture
def saved(tmp_path: Path) -> tuple[GAN, Path]:
    """A GAN whose networks all differ, and the folder that it was saved in."""
    gan = small_gan()
    for network in ("members", "averages", "discriminator"):
        scramble(getattr(gan, network), network)
    gan.save_pretrained(tmp_path / "generator")
    return gan, tmp_path / "generator"


def test_saved_weights_are_safetensors_only(saved: tuple[GAN, Path]) -> None:
    files = {path.relative_to(saved[1]).as_posix() for path in saved[1].rglob("*") if path.is_file()}
    networks = ("generator", "partner", "discriminator")
    weights = {f"{network}/diffusion_pytorch_model.safetensors" for network in networks}
    assert files == weights | {f"{network}/config.json" for network in networks} | {"model_index.json"}
    assert json.loads((saved[1] / "model_index.json").read_text())["_class_name"] == "GANPipeline"


def test_diffusers_loads_the_folder_and_samples_the_averages(saved: tuple[GAN, Path]) -> None:
    gan, folder = saved
    pipeline = DiffusionPipeline.from_pretrained(folder)
    assert isinstance(pipeline, GANPipeline)
    for member in ("a", "b"):
        images = pipeline(3, torch.Generator().manual_seed(5), member, output_type="pt").images
        z = torch.randn(3, SMALL_GAN.latent_dim, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(images, gan.sample(z, member, averaged=True) / 2 + 0.5)


def test_the_pipeline_gives_pil_images(saved: tuple[GAN, Path]) -> None:
    images = DiffusionPipeline.from_pretrained(saved[1])(2, torch.Generator().manual_seed(0)).images
    assert [image.size for image in images] == [(16, 16), (16, 16)]


def test_loading_takes_regularisation_from_the_caller_and_architecture_from_the_folder(saved: tuple[GAN, Path]) -> None:
    loaded = load_generator(saved[1], GANConfig(latent_dim=99, r1_weight=7.0))
    assert isinstance(loaded, GAN)
    assert loaded.config == GANConfig(latent_dim=8, width=4, max_width=8, r1_weight=7.0)


def test_a_folder_without_safetensors_is_refused(saved: tuple[GAN, Path]) -> None:
    (saved[1] / "partner" / "diffusion_pytorch_model.safetensors").rename(saved[1] / "partner" / "weights.bin")
    with pytest.raises(MisuseError, match="partner"):
        load_generator(saved[1])
