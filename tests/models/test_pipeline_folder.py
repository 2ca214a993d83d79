"""Stock pipelines as tuning starts from them, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    CMStochasticIterativeScheduler,
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LDMPipeline,
    VQModel,
)
from safetensors.torch import load_file, save_file
from small_generators import save_latent_pipeline, save_stock_pipeline, small_unet

from synthdata.errors import MisuseError
from synthdata.models import Diffusion, DiffusionConfig, load_generator
from synthdata.rng import BatchRandom, generator_at

SCHEDULERS = {
    "DDPM": (DDPMScheduler(), "DDIMPipeline"),
    "DDIM": (DDIMScheduler(prediction_type="v_prediction"), "DDIMPipeline"),
    "DPM-Solver": (DPMSolverMultistepScheduler(), "DDPMPipeline"),
    "flow matching": (FlowMatchEulerDiscreteScheduler(), "DDPMPipeline"),
    "consistency": (CMStochasticIterativeScheduler(), "ConsistencyModelPipeline"),
}
CONFIG = DiffusionConfig(sampling_steps=4, lora_rank=2)


def loaded(folder: Path) -> Diffusion:
    generator = load_generator(folder, diffusion=CONFIG)
    assert isinstance(generator, Diffusion)
    return generator


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_stock_pipeline_can_be_tuned_and_is_saved_as_one(name: str, tmp_path: Path) -> None:
    scheduler, saved_as = SCHEDULERS[name]
    generator = loaded(save_stock_pipeline(tmp_path / "stock", scheduler))
    assert (generator.image_size, generator.channels, generator.latent_shape) == (16, 3, (3, 16, 16))
    z = torch.randn(2, 3, 16, 16, generator=generator_at("latents"))
    images = generator.sample(z, "b")
    real = torch.rand(2, 3, 16, 16, generator=generator_at("real")) * 2 - 1
    loss = images.mean() + generator.realism_loss("b", images, real, BatchRandom(0, 0))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.pair.parameters_of("member_b"))
    assert generator.realism(real).isfinite().all()
    generator.save_pretrained(tmp_path / "tuned")
    assert type(DiffusionPipeline.from_pretrained(tmp_path / "tuned")).__name__ == saved_as
    with torch.no_grad():
        torch.testing.assert_close(loaded(tmp_path / "tuned").sample(z), generator.sample(z), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["DDPM", "DDIM", "DPM-Solver"])
def test_a_stock_pipeline_samples_what_the_generator_samples(name: str, tmp_path: Path) -> None:
    generator = loaded(save_stock_pipeline(tmp_path / "stock", SCHEDULERS[name][0]))
    generator.save_pretrained(tmp_path / "tuned")
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "tuned")
    random = torch.Generator().manual_seed(0)
    images = pipeline(batch_size=3, num_inference_steps=4, generator=random, output_type="pt").images
    with torch.no_grad():
        own = generator.sample(torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(images, own / 2 + 0.5, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [VQModel, AutoencoderKL])
def test_a_latent_pipeline_is_tuned_through_its_decoder(
    kind: type[VQModel] | type[AutoencoderKL], tmp_path: Path
) -> None:
    generator = loaded(save_latent_pipeline(tmp_path / "stock", kind))
    assert (generator.image_size, generator.channels, generator.latent_shape) == (16, 3, (2, 8, 8))
    z = torch.randn(2, 2, 8, 8, generator=generator_at("latents"))
    images = generator.sample(z, "a")
    assert images.shape == (2, 3, 16, 16)
    (images.square().mean() + generator.realism_loss("a", images, images.detach(), BatchRandom(0, 0))).backward()
    assert all(parameter.grad is not None for parameter in generator.pair.parameters_of("member_a"))
    assert generator.autoencoder is not None
    assert all(parameter.grad is None for parameter in generator.autoencoder.parameters())
    assert generator.realism(images.detach()).shape == (2,)
    generator.save_pretrained(tmp_path / "tuned")
    pipeline = LDMPipeline.from_pretrained(tmp_path / "tuned")
    stock = pipeline(batch_size=2, num_inference_steps=4, generator=torch.Generator().manual_seed(0), output_type="np")
    with torch.no_grad():
        own = generator.sample(torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0)))
    expected = (own / 2 + 0.5).permute(0, 2, 3, 1)
    torch.testing.assert_close(torch.from_numpy(stock.images), expected, atol=1e-4, rtol=0)


def test_the_oldest_layout_with_all_parts_in_one_folder_is_read(tmp_path: Path) -> None:
    folder = save_stock_pipeline(tmp_path / "stock", DDPMScheduler())
    for part in ("unet", "scheduler"):
        for path in (folder / part).iterdir():
            path.rename(folder / path.name)
        (folder / part).rmdir()
    assert loaded(folder).image_size == 16


def rewrite_index(folder: Path, **changes: Any) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def make_conditional(folder: Path) -> None:
    rewrite_index(
        folder,
        _class_name="StableDiffusionPipeline",
        unet=["diffusers", "UNet2DConditionModel"],
        text_encoder=["transformers", "CLIPTextModel"],
    )


def make_pickled(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


def make_incomplete(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def make_of_another_network(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "conv_in" not in name}, path)


def make_truncated(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (make_conditional, ["StableDiffusionPipeline", "text_encoder", "unconditional", "DDPMPipeline"]),
        (make_pickled, ["unet", "diffusion_pytorch_model.bin", "safetensors"]),
        (make_incomplete, ["unet", "safetensors"]),
        (make_of_another_network, ["another network", "conv_in"]),
        (make_truncated, ["cannot be loaded", "restore"]),
        (lambda folder: rewrite_index(folder, scheduler=["mine", "MyScheduler"]), ["MyScheduler", "diffusers"]),
        (lambda folder: rewrite_index(folder, unet=["mine", "MyTransformer"]), ["MyTransformer", "unconditional"]),
        (lambda folder: (folder / "model_index.json").unlink(), ["model_index.json", "diffusers pipeline"]),
        (lambda folder: (folder / "model_index.json").write_text("{"), ["is damaged"]),
    ],
)
def test_a_pipeline_that_does_not_fit_is_refused_with_what_would(
    spoil: Callable[[Path], Any], words: list[str], tmp_path: Path
) -> None:
    folder = save_stock_pipeline(tmp_path / "stock", DDPMScheduler())
    spoil(folder)
    with pytest.raises(MisuseError) as caught:
        load_generator(folder)
    for word in [str(folder), *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("unet", "words"),
    [
        ({"num_class_embeds": 10}, ["classes"]),
        ({"out_channels": 6}, ["3 channels that answers 6", "variances"]),
        ({"sample_size": (16, 32)}, ["sample_size", "squares"]),
    ],
)
def test_a_denoiser_that_does_not_fit_is_refused_with_what_would(
    unet: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    folder = save_stock_pipeline(tmp_path / "stock", DDPMScheduler(), **unet)
    with pytest.raises(MisuseError) as caught:
        load_generator(folder)
    for word in [str(folder), *words]:
        assert word in str(caught.value)


def test_a_scheduler_that_draws_noise_is_refused_with_what_would_fit(tmp_path: Path) -> None:
    folder = save_stock_pipeline(tmp_path / "stock", EulerAncestralDiscreteScheduler())
    with pytest.raises(MisuseError, match=r"has a EulerAncestralDiscreteScheduler.*DDPM, DDIM.* would fit"):
        load_generator(folder)


def test_more_steps_than_the_scheduler_has_are_refused(tmp_path: Path) -> None:
    folder = save_stock_pipeline(tmp_path / "stock", CMStochasticIterativeScheduler())
    with pytest.raises(MisuseError, match="sampling_steps is 50: the pipeline's scheduler has 40 at most"):
        load_generator(folder, diffusion=DiffusionConfig(sampling_steps=50))


def test_half_precision_weights_are_tuned_in_float32(tmp_path: Path) -> None:
    folder = save_stock_pipeline(tmp_path / "stock", DDPMScheduler())
    small_unet().half().save_pretrained(folder / "unet")
    assert all(parameter.dtype == torch.float32 for parameter in loaded(folder).parameters())
