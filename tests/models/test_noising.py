"""Noise processes against independent computations, and their solvers against a denoiser that knows the answer."""

import math
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.models.noising import NoiseProcess, noise_process
from synthdata.rng import generator_at

VARIANCE_PRESERVING = (
    "DDPMScheduler",
    "DDIMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
FLOW_MATCHING = "FlowMatchEulerDiscreteScheduler"
ALL = (*VARIANCE_PRESERVING, FLOW_MATCHING, "CMStochasticIterativeScheduler")


def process_of(name: str, **settings: Any) -> NoiseProcess:
    return noise_process(getattr(diffusers, name)(**settings), "the test")


def normal(*shape: int, purpose: str = "noise") -> Tensor:
    return torch.randn(*shape, generator=generator_at(purpose))


class Gaussian:
    """The best possible denoiser of images whose pixels are independent normals of this mean and deviation.

    Attributes:
        calls: for each call, whether gradients were on.
    """

    def __init__(self, process: NoiseProcess, mean: float = 0.3, deviation: float = 0.2) -> None:
        self.process, self.mean, self.deviation = process, torch.tensor(mean, requires_grad=True), deviation
        self.calls: list[bool] = []

    def __call__(self, inputs: Tensor, times: Tensor) -> Tensor:
        self.calls.append(torch.is_grad_enabled())
        settings = self.process.scheduler.config
        if "alphas_cumprod" in vars(self.process.scheduler):
            curve = self.process.scheduler.alphas_cumprod
            low = times.double().floor().long()
            power = torch.lerp(curve[low], curve[(low + 1).clamp(max=999)], (times - low).float())
            power = power[..., None, None, None] if power.ndim else power
            signal, scale = power.sqrt(), (1 - power).sqrt()
        else:
            scale = times.float() / settings.num_train_timesteps
            scale = scale[..., None, None, None] if scale.ndim else scale
            signal = 1 - scale
        gain = signal * self.deviation**2 / (signal**2 * self.deviation**2 + scale**2)
        clean = self.mean + gain * (inputs - signal * self.mean)
        noise = (inputs - signal * clean) / scale.clamp(min=1e-6)
        if settings.get("prediction_type") is None:
            return noise - clean
        return {"epsilon": noise, "sample": clean, "v_prediction": signal * noise - scale * clean}[
            settings.prediction_type
        ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NumPy's, of arithmetic inside diffusers
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", VARIANCE_PRESERVING)
def test_solving_with_the_best_denoiser_gives_the_distribution_of_the_images(name: str, prediction: str) -> None:
    process = process_of(name, prediction_type=prediction)
    with torch.no_grad():
        samples = process.solve(Gaussian(process), normal(4, 1, 32, 32), steps=30, grad_steps=1)
    assert samples.mean().item() == pytest.approx(0.3, abs=0.03)
    assert samples.std().item() == pytest.approx(0.2, abs=0.06)


def test_solving_the_flow_gives_the_distribution_of_the_images() -> None:
    process = process_of(FLOW_MATCHING)
    with torch.no_grad():
        samples = process.solve(Gaussian(process), normal(4, 1, 32, 32), steps=30, grad_steps=1)
    assert samples.mean().item() == pytest.approx(0.3, abs=0.03)
    assert samples.std().item() == pytest.approx(0.2, abs=0.06)


def bounded(inputs: Tensor, times: Tensor) -> Tensor:
    """Stands in for a network: it looks at every pixel alone, and at the time."""
    return torch.sin(3 * inputs + times.float() / 500) / 2


@pytest.mark.parametrize("name", ALL)
def test_a_solution_depends_on_its_latent_alone(name: str) -> None:
    process, latents = process_of(name), normal(5, 1, 4, 4)
    whole = process.solve(bounded, latents, steps=6, grad_steps=1)
    torch.manual_seed(1)
    assert torch.equal(process.solve(bounded, latents, steps=6, grad_steps=1), whole)
    torch.testing.assert_close(process.solve(bounded, latents[3:4], steps=6, grad_steps=1), whole[3:4])
    assert not torch.allclose(whole[0], whole[1])


@pytest.mark.parametrize("grad_steps", [1, 2, 4])
@pytest.mark.parametrize("name", ALL)
def test_gradients_pass_through_the_last_calls_only(name: str, grad_steps: int) -> None:
    process, scales = process_of(name), []

    def predict(inputs: Tensor, times: Tensor) -> Tensor:
        scales.append(torch.ones((), requires_grad=True))
        return bounded(inputs, times) * scales[-1]

    process.solve(predict, normal(2, 1, 4, 4), steps=4, grad_steps=grad_steps).square().sum().backward()
    gradients = [0.0 if scale.grad is None else abs(scale.grad.item()) for scale in scales]
    reached = [gradient > 0 for gradient in gradients]
    assert reached == [False] * (len(scales) - grad_steps) + [True] * grad_steps
    assert gradients[-1] > max(gradients[-2:]) / 50


def images(*shape: int) -> Tensor:
    """Of the distribution that ``Gaussian`` knows."""
    return 0.3 + 0.2 * normal(*shape, purpose="images")


@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("name", [*VARIANCE_PRESERVING, FLOW_MATCHING])
def test_variants_by_the_best_denoiser_are_distributed_as_the_images_are(name: str, level: float) -> None:
    process = process_of(name)
    with torch.no_grad():
        levels = torch.full((4,), level)
        variants = process.solve_from(Gaussian(process), images(4, 1, 32, 32), normal(4, 1, 32, 32), levels, 30, 1)
    assert variants.mean().item() == pytest.approx(0.3, abs=0.03)
    assert variants.std().item() == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *(("DDIMScheduler", {"prediction_type": prediction}) for prediction in ("epsilon", "v_prediction", "sample")),
        (FLOW_MATCHING, {}),
    ],
)
def test_a_variant_has_the_less_of_its_image_the_higher_its_level(name: str, settings: dict[str, Any]) -> None:
    process = process_of(name, **settings)
    clean, noise, shared = images(2, 1, 32, 32), normal(2, 1, 32, 32), []
    for level in (0.01, 0.2, 0.4, 0.6, 0.999):
        with torch.no_grad():
            variants = process.solve_from(Gaussian(process), clean, noise, torch.full((2,), level), 20, 1)
        shared.append(torch.corrcoef(torch.stack([variants.flatten(), clean.flatten()]))[0, 1].item())
    assert shared == sorted(shared, reverse=True)
    assert shared[0] > 0.95
    assert abs(shared[-1]) < 0.1


def test_a_variant_is_what_the_steps_of_ddim_make_of_a_noisy_image() -> None:
    settings = {"timestep_spacing": "trailing", "set_alpha_to_one": True, "clip_sample": False}
    process, clean, noise = process_of("DDIMScheduler", **settings), images(3, 1, 4, 4), normal(3, 1, 4, 4)
    scheduler = diffusers.DDIMScheduler(**settings)
    scheduler.set_timesteps(10)
    expected = scheduler.add_noise(clean, noise, torch.tensor([499]))
    for time in scheduler.timesteps[-5:]:
        expected = scheduler.step(bounded(expected, time), time, expected).prev_sample
    found = process.solve_from(
        lambda inputs, times: bounded(inputs, times[0]), clean, noise, torch.full((3,), 0.4995), steps=5, grad_steps=1
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ALL)
def test_a_variant_depends_on_its_own_image_latent_and_level(name: str) -> None:
    process, clean, noise = process_of(name), images(5, 1, 4, 4), normal(5, 1, 4, 4)
    levels = torch.tensor([0.1, 0.3, 0.3, 0.5, 0.9])

    def predict(inputs: Tensor, times: Tensor) -> Tensor:
        return bounded(inputs, times[:, None, None, None])

    whole = process.solve_from(predict, clean, noise, levels, 3, 1)
    assert torch.equal(process.solve_from(predict, clean, noise, levels, 3, 1), whole)
    row = slice(3, 4)
    torch.testing.assert_close(process.solve_from(predict, clean[row], noise[row], levels[row], 3, 1), whole[row])
    others = (clean.flip(0), noise, levels), (clean, noise.flip(0), levels), (clean, noise, levels.flip(0))
    assert not any(torch.allclose(process.solve_from(predict, *other, 3, 1), whole) for other in others)


@pytest.mark.parametrize("name", ALL)
def test_gradients_of_a_variant_pass_through_the_last_calls_only(name: str) -> None:
    process, scales = process_of(name), []

    def predict(inputs: Tensor, times: Tensor) -> Tensor:
        scales.append(torch.ones((), requires_grad=True))
        return bounded(inputs, times[:, None, None, None]) * scales[-1]

    levels = torch.full((2,), 0.4)
    process.solve_from(predict, images(2, 1, 4, 4), normal(2, 1, 4, 4), levels, 4, 2).square().sum().backward()
    reached = [scale.grad is not None and abs(scale.grad.item()) > 0 for scale in scales]
    assert reached == [False, False, True, True]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_noisy_images_and_targets_are_those_of_the_scheduler(prediction: str) -> None:
    process = process_of("DDIMScheduler", prediction_type=prediction)
    clean, noise, times = normal(3, 1, 4, 4, purpose="clean"), normal(3, 1, 4, 4), torch.tensor([0, 250, 999])
    noisy = process.noisy(clean, noise, torch.tensor([0.0, 0.2503, 0.9999]))
    scheduler = diffusers.DDPMScheduler()
    expected = {"epsilon": noise, "sample": clean, "v_prediction": scheduler.get_velocity(clean, noise, times)}
    assert torch.equal(noisy.times, times)
    torch.testing.assert_close(noisy.inputs, scheduler.add_noise(clean, noise, times))
    torch.testing.assert_close(noisy.target, expected[prediction])


def test_noisy_images_of_a_flow_lie_on_the_straight_path() -> None:
    process, clean, noise = process_of(FLOW_MATCHING), torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    noisy = process.noisy(clean, noise, torch.tensor([0.25]))
    assert (noisy.inputs.item(), noisy.times.item(), noisy.target.item()) == (0.25, 250.0, 1.0)


def test_a_consistency_model_that_meets_its_target_gives_the_clean_image_back() -> None:
    process, clean = process_of("CMStochasticIterativeScheduler"), normal(4, 1, 4, 4, purpose="clean").clamp(-1, 1)
    noisy = process.noisy(clean, normal(4, 1, 4, 4), torch.tensor([0.0, 0.3, 0.6, 0.99]))
    for i in range(4):
        sigma = math.exp(noisy.times[i].item() / 250)
        skip, out = process.scheduler.get_scalings_for_boundary_condition(torch.tensor(sigma))
        mixed = noisy.inputs[i] * math.sqrt(sigma**2 + 0.25)
        torch.testing.assert_close(skip * mixed + out * noisy.target[i], clean[i], atol=1e-4, rtol=1e-4)


def test_a_single_consistency_step_is_that_of_the_scheduler() -> None:
    process, latents = process_of("CMStochasticIterativeScheduler"), normal(2, 1, 4, 4)
    scheduler = diffusers.CMStochasticIterativeScheduler()
    scheduler.set_timesteps(1)
    (time,) = scheduler.timesteps
    sample = latents * scheduler.init_noise_sigma
    answer = bounded(scheduler.scale_model_input(sample, time), time)
    expected = scheduler.step(answer, time, sample).prev_sample
    torch.testing.assert_close(process.solve(bounded, latents, steps=1, grad_steps=1), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "found"),
    [
        ("EulerAncestralDiscreteScheduler", {}, "EulerAncestralDiscreteScheduler"),
        ("KDPM2AncestralDiscreteScheduler", {}, "KDPM2AncestralDiscreteScheduler"),
        ("ScoreSdeVeScheduler", {}, "ScoreSdeVeScheduler"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, "algorithm_type=sde-dpmsolver++"),
        (FLOW_MATCHING, {"stochastic_sampling": True}, "stochastic_sampling=True"),
    ],
)
def test_a_scheduler_that_draws_noise_is_refused_with_what_would_fit(
    name: str, settings: dict[str, Any], found: str
) -> None:
    with pytest.raises(MisuseError) as caught:
        process_of(name, **settings)
    message = str(caught.value)
    assert found in message
    assert "the test has a" in message
    assert "DDPM, DDIM" in message
    assert "\n" not in message
