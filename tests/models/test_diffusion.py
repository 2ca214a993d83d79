"""What is particular to diffusion models among the generators."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMPipeline, DDPMScheduler, DiffusionPipeline, VQModel
from small_generators import save_latent_pipeline, save_stock_pipeline, scramble, small_diffusion, small_gan, tuned
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.models import Diffusion, DiffusionConfig, load_generator
from synthdata.rng import BatchRandom, generator_at

RANDOM = BatchRandom(seed=0, step=0)


def tuned_diffusion(**changes: Any) -> Diffusion:
    generator = tuned(small_diffusion(**changes))
    assert isinstance(generator, Diffusion)
    return generator


def normal(*shape: int, purpose: str = "latents") -> Tensor:
    return torch.randn(*shape, generator=generator_at(purpose))


def gradients(generator: Diffusion) -> list[Tensor]:
    return [p.grad.clone() for p in generator.pair.parameters_of("member_a") if p.grad is not None]


def pretrained_on_stripes(prediction: str = "v_prediction") -> tuple[Diffusion, Tensor]:
    generator = small_diffusion(8, 1, prediction=prediction, widths=[8, 16], sampling_steps=10)
    stripes = torch.ones(16, 1, 8, 8)
    stripes[:, :, ::2] = -1
    optimizer = torch.optim.Adam(generator.generator_parameters(), 5e-3, generator.betas)
    for step in range(60):
        generator.pretraining_loss(stripes, BatchRandom(0, step)).backward()
        optimizer.step()
        optimizer.zero_grad()
        generator.update_average(0.9)
    return generator, stripes


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_pretraining_learns_to_make_the_images_that_it_is_shown(prediction: str) -> None:
    generator, stripes = pretrained_on_stripes(prediction)
    with torch.no_grad():
        images = generator.sample(normal(16, 1, 8, 8), averaged=True)
    assert (images.sign() == stripes).float().mean() > 0.65


def test_more_grad_steps_bring_more_of_the_gradient() -> None:
    found = []
    for grad_steps in (1, 4):
        generator = tuned_diffusion(grad_steps=grad_steps)
        calls: list[bool] = []
        generator.pair.register_forward_pre_hook(lambda *_, calls=calls: calls.append(torch.is_grad_enabled()))
        generator.sample(normal(2, 3, 16, 16)).square().mean().backward()
        assert calls == [True] * grad_steps  # calls without gradient use merged weights
        found.append(gradients(generator))
    assert not any(map(torch.allclose, *found))


@pytest.mark.parametrize("train", ["lora", "all"])
def test_gradient_checkpointing_changes_no_gradient(train: str) -> None:
    found = []
    for checkpointing in (False, True):
        generator = tuned_diffusion(grad_steps=2, gradient_checkpointing=checkpointing, train=train)
        z = normal(2, 3, 16, 16)
        loss = generator.sample(z, "a").square().mean() + generator.sample(z, "b").square().mean()
        with torch.no_grad():
            generator.sample(z, "b", averaged=True)
        loss.backward()
        found.append(gradients(generator))
    for plain, checkpointed in zip(*found, strict=True):
        torch.testing.assert_close(checkpointed, plain)


@pytest.fixture(scope="module")
def varying(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Diffusion]:
    """A generator of our own with all weights in use, and a stock one that works on latent codes."""
    stock = load_generator(save_latent_pipeline(tmp_path_factory.mktemp("stock"), VQModel))
    assert isinstance(stock, Diffusion)
    scramble(stock.pair, "stock")
    return {"own": tuned_diffusion(), "latent": stock}


@pytest.mark.parametrize("kind", ["own", "latent"])
def test_a_variant_is_a_function_of_its_image_its_level_and_its_latent(
    kind: str, varying: dict[str, Diffusion]
) -> None:
    generator, images = varying[kind], normal(6, 3, 16, 16, purpose="real").clamp(-1, 1)
    latents, levels = normal(6, *generator.latent_shape), torch.tensor([0.0, 0.2, 0.35, 0.5, 0.5, 0.8])
    with torch.no_grad():
        whole = generator.vary(images, levels, latents, averaged=True)
        assert torch.equal(generator.vary(images, levels, latents, averaged=True), whole)
        for row in range(6):
            alone = generator.vary(images[row : row + 1], levels[row].item(), latents[row : row + 1], averaged=True)
            torch.testing.assert_close(alone[0], whole[row], atol=1e-4, rtol=0)
        others = generator.vary(images, levels, -latents, averaged=True)
    assert whole.shape == images.shape
    assert whole.abs().max() <= 1
    assert torch.equal(whole[0], images[0])  # also of a model whose autoencoder would change it
    assert not any(torch.allclose(ours, theirs, atol=1e-2) for ours, theirs in zip(whole[1:], others[1:], strict=True))


def test_of_the_image_nothing_is_left_at_the_end_of_the_process() -> None:
    generator, latents = tuned_diffusion(), normal(2, 3, 16, 16)
    images = normal(2, 3, 16, 16, purpose="real").clamp(-1, 1)
    with torch.no_grad():
        near, far = (
            (generator.vary(images, level, latents) - generator.vary(-images, level, latents)).abs().mean()
            for level in (0.3, 0.9995)
        )
    assert far < 1e-5 < near


def test_variants_carry_gradient_to_their_member_alone() -> None:
    generator = tuned_diffusion(grad_steps=2)
    images, latents = torch.zeros(2, 3, 16, 16), normal(2, 3, 16, 16)
    generator.vary(images, 0.4, latents, "b").square().mean().backward()
    own, other = ([p.grad for p in generator.pair.parameters_of(each)] for each in ("member_b", "member_a"))
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in own)
    assert all(gradient is None for gradient in other)


@pytest.mark.parametrize("level", [-0.1, 1.0, float("nan")])
def test_a_level_outside_the_process_is_refused_by_its_value(level: float) -> None:
    with pytest.raises(MisuseError, match=f"noise level of a variant is {level:g}: it must be at least 0 and less"):
        small_diffusion().vary(torch.zeros(1, 3, 16, 16), level, normal(1, 3, 16, 16))


def test_a_generator_without_a_denoiser_says_what_would_make_variants() -> None:
    with pytest.raises(MisuseError, match="kind gan makes images from latents alone"):
        small_gan().vary(torch.zeros(1, 3, 16, 16), 0.3, torch.zeros(1, 8))


def test_the_base_is_the_same_after_training() -> None:
    generator = tuned_diffusion()
    before = [parameter.clone() for parameter in generator.pair.base_parameters()]
    optimizer = torch.optim.Adam(generator.generator_parameters(), 0.01)
    real = normal(4, 3, 16, 16, purpose="real").clamp(-1, 1)
    for step in range(2):
        for member in ("a", "b"):
            images = generator.sample(normal(4, 3, 16, 16), member)
            (images.mean() + generator.realism_loss(member, images, real, BatchRandom(0, step))).backward()
        optimizer.step()
        optimizer.zero_grad()
        generator.update_average(0.5)
    assert all(map(torch.equal, generator.pair.base_parameters(), before))


def test_the_optimiser_of_a_generator_that_was_not_pretrained_here_holds_members_only(tmp_path: Path) -> None:
    generator = load_generator(save_stock_pipeline(tmp_path / "stock", DDPMScheduler()))
    assert isinstance(generator, Diffusion)
    base = {id(parameter) for parameter in generator.pair.base_parameters()}
    assert not base & {id(parameter) for parameter in generator.generator_parameters()}
    assert not any(parameter.requires_grad for parameter in generator.pair.base_parameters())


def test_the_states_of_tuning_hold_the_base_once() -> None:
    generator = small_diffusion()
    base = sum(parameter.numel() for parameter in generator.pair.base_parameters())
    before = sum(value.numel() for value in generator.state_dict().values())
    generator.begin_tuning()
    assert before - sum(value.numel() for value in generator.state_dict().values()) == base


@pytest.mark.parametrize("member", ["a", "b"])
def test_realism_loss_is_the_denoising_loss_plus_the_weighted_drift(member: Any) -> None:
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        generator = tuned_diffusion(drift_weight=weight)
        real = normal(4, 3, 16, 16, purpose="real").clamp(-1, 1)
        losses[weight] = generator.realism_loss(member, real.flip(0), real, RANDOM).item()
    drift = losses[1.0] - losses[0.0]
    assert drift > 0
    assert losses[3.0] - losses[0.0] == pytest.approx(3 * drift, rel=1e-4)


def test_a_member_that_is_its_base_has_not_drifted() -> None:
    real, losses = torch.zeros(4, 3, 16, 16), []
    for weight in (0.0, 100.0):
        generator = small_diffusion(drift_weight=weight)
        generator.begin_tuning()
        losses.append(generator.realism_loss("a", real, real, RANDOM))
    torch.testing.assert_close(*losses)


def test_members_that_are_still_alike_have_losses_of_their_own() -> None:
    generator, real = small_diffusion(), torch.zeros(4, 3, 16, 16)
    generator.begin_tuning()
    assert generator.realism_loss("a", real, real, RANDOM) != generator.realism_loss("b", real, real, RANDOM)


def test_realism_is_the_denoising_loss_of_the_base_with_noise_that_never_changes() -> None:
    generator = small_diffusion()
    scramble(generator.pair, "pre-trained")
    images = torch.zeros(3, 3, 16, 16)
    images[1] = 0.5
    with torch.no_grad():
        before = generator.realism(images)
        generator.begin_tuning()
        scramble(generator.pair, "tuned")
    torch.manual_seed(7)
    tuned_away = small_diffusion(seed=7)
    assert torch.equal(tuned_away.probes, generator.probes)
    assert before[0] == before[2] != before[1]
    assert (before < 0).all()


def test_realism_tells_images_like_the_training_images_from_others() -> None:
    generator, stripes = pretrained_on_stripes()
    with torch.no_grad():
        assert generator.realism(stripes).min() > generator.realism(stripes.transpose(2, 3)).max()


def test_two_processes_see_the_noise_of_one() -> None:
    real = normal(4, 3, 16, 16, purpose="real").clamp(-1, 1)
    generator = tuned_diffusion()
    whole = generator.realism_loss("a", real.flip(0), real, RANDOM)
    halves = [
        generator.realism_loss("a", real.flip(0)[rank * 2 : rank * 2 + 2], real[rank * 2 : rank * 2 + 2], random)
        for rank in (0, 1)
        for random in [BatchRandom(seed=0, step=0, rank=rank, world_size=2)]
    ]
    torch.testing.assert_close(torch.stack(halves).mean(), whole)


def test_stock_diffusers_samples_member_a_from_the_saved_folder(tmp_path: Path) -> None:
    generator = tuned_diffusion()
    generator.save_pretrained(tmp_path / "generator")
    pipeline = DDIMPipeline.from_pretrained(tmp_path / "generator")
    images = pipeline(3, torch.Generator().manual_seed(5), num_inference_steps=4, output_type="pt").images
    z = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = generator.sample(z, "a", averaged=True) / 2 + 0.5
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    assert type(DiffusionPipeline.from_pretrained(tmp_path / "generator")) is DDIMPipeline


def test_the_saved_folder_holds_one_network_and_two_adapters(tmp_path: Path) -> None:
    tuned_diffusion().save_pretrained(tmp_path)
    weights = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.safetensors")}
    adapters = {f"adapters/{member}/adapter_model.safetensors" for member in "ab"}
    assert weights == {"unet/diffusion_pytorch_model.safetensors"} | adapters
    assert json.loads((tmp_path / "model_index.json").read_text()).keys() <= {
        "_class_name",
        "_diffusers_version",
        "unet",
        "scheduler",
    }


def test_loading_takes_sampling_from_the_caller_and_adapters_from_the_folder(tmp_path: Path) -> None:
    tuned_diffusion().save_pretrained(tmp_path)
    loaded = load_generator(tmp_path, diffusion=DiffusionConfig(sampling_steps=7, drift_weight=9.0, lora_rank=32))
    assert isinstance(loaded, Diffusion)
    config = loaded.config
    assert (config.sampling_steps, config.drift_weight, config.lora_rank) == (7, 9.0, 2)
    as_saved = load_generator(tmp_path)
    assert isinstance(as_saved, Diffusion)
    assert as_saved.config.sampling_steps == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grad_steps": 5}, ["grad_steps is 5", "4 sampling_steps"]),
        ({"widths": []}, ["widths has 0 levels"]),
        ({"widths": [4] * 6}, ["6 levels", "16 px"]),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(MisuseError) as caught:
        small_diffusion(**changes)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("content", ["{", '{"depth": 3}', "[]"])
def test_settings_that_cannot_be_read_are_named(content: str, tmp_path: Path) -> None:
    tuned_diffusion().save_pretrained(tmp_path)
    (tmp_path / "synthdata.json").write_text(content)
    with pytest.raises(MisuseError, match=r"synthdata\.json is damaged"):
        load_generator(tmp_path)
