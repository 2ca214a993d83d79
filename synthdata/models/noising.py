"""How images turn to noise under a scheduler of diffusers, what a denoiser answers, and the deterministic way back."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from synthdata.errors import MisuseError

Predict = Callable[[Tensor, Tensor], Tensor]
"""A denoiser: inputs (N, C, H, W) and times, (N,) or a scalar, to its answer (N, C, H, W)."""

_OWN_SOLVER = (
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
)
_SOLVED_BY_DDIM = (
    "DDPMScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
)
_FLOW_MATCHING = "FlowMatchEulerDiscreteScheduler"
_CONSISTENCY = "CMStochasticIterativeScheduler"
_FITTING = "a DDPM, DDIM, deterministic DPM-Solver, UniPC, DEIS, PNDM, Euler, FlowMatchEuler or consistency scheduler"
_SOLVER_SETTINGS = ("algorithm_type", "stochastic_sampling")
_TARGETS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class NoisyBatch:
    """N noisy images as a denoiser is given them, and what it should answer.

    Attributes:
        inputs: (N, C, H, W).
        times: (N,), in the unit that the denoiser was trained with.
        target: (N, C, H, W).
    """

    inputs: Tensor
    times: Tensor
    target: Tensor


class NoiseProcess(ABC):
    """A scheduler's noise process and its solver.

    The scheduler keeps state while it solves, so that two threads need two copies.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    @abstractmethod
    def noisy(self, clean: Tensor, noise: Tensor, shares: Tensor) -> NoisyBatch:
        """Mix clean images with standard normal noise of the same shape.

        Args:
            clean: (N, C, H, W).
            noise: of the same shape, or of one image that all share.
            shares: (N,) in [0, 1): how far along the process, 0 being almost clean.
        """

    def solve(self, predict: Predict, latents: Tensor, steps: int, grad_steps: int) -> Tensor:
        """Denoise standard normal ``latents`` deterministically, in ``steps`` steps of the scheduler.

        Gradients pass through the last ``grad_steps`` calls of ``predict`` only (Clark et al., ICLR 2024, section 4).
        """
        scheduler = self.scheduler
        self._set_timesteps(steps)
        sample = latents * getattr(scheduler, "init_noise_sigma", 1.0)
        free = len(scheduler.timesteps) - grad_steps
        for number, time in enumerate(scheduler.timesteps):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= free):
                sample = scheduler.step(predict(sample, time), time, sample, return_dict=False)[0]
        return sample

    def solve_from(
        self, predict: Predict, clean: Tensor, noise: Tensor, levels: Tensor, steps: int, grad_steps: int
    ) -> Tensor:
        """Noise clean images part of the way, and denoise them again deterministically, in ``steps`` calls.

        Each call splits its noisy images into what is clean in them and what is noise, and mixes the two again at a
        lower level, as DDIM does (Song et al., ICLR 2021, equation 12), whatever the scheduler's own solver. Gradients
        pass through the last ``grad_steps`` calls only.

        Args:
            clean: (N, C, H, W).
            noise: standard normal, of the same shape.
            levels: (N,) in (0, 1), shares of the process as ``noisy`` takes them.
        """
        for number in range(steps):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= steps - grad_steps):
                noisy = self.noisy(clean, noise, levels * (1 - number / steps))
                clean, noise = self._split(noisy, noise, predict(noisy.inputs, noisy.times))
        return clean

    @abstractmethod
    def _split(self, noisy: NoisyBatch, noise: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
        """What is clean in noisy images, and their noise, by a denoiser's ``answer``; ``noise`` was mixed into them."""

    def _set_timesteps(self, steps: int) -> None:
        self.scheduler.set_timesteps(steps)


class VariancePreserving(NoiseProcess):
    """DDPM's process (Ho et al., NeurIPS 2020), of which the other schedulers are faster solvers."""

    def noisy(self, clean: Tensor, noise: Tensor, shares: Tensor) -> NoisyBatch:
        signal_power = self.scheduler.alphas_cumprod.to(clean.device)
        times = (shares * len(signal_power)).long()
        power = _per_image(signal_power[times])
        signal, scale = power.sqrt(), (1 - power).sqrt()
        target = {
            "epsilon": lambda: noise.expand_as(clean),
            "sample": lambda: clean,
            "v_prediction": lambda: signal * noise - scale * clean,
        }[self.scheduler.config.prediction_type]()
        return NoisyBatch(signal * clean + scale * noise, times, target)

    def _split(self, noisy: NoisyBatch, noise: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
        power = _per_image(self.scheduler.alphas_cumprod.to(answer.device)[noisy.times])
        signal, scale = power.sqrt(), (1 - power).sqrt()
        settings = self.scheduler.config
        if settings.prediction_type == "epsilon":
            clean, noise = (noisy.inputs - scale * answer) / signal, answer
        elif settings.prediction_type == "sample":
            clean, noise = answer, (noisy.inputs - signal * answer) / scale
        else:
            clean, noise = signal * noisy.inputs - scale * answer, scale * noisy.inputs + signal * answer
        if settings.get("clip_sample"):
            clean = clean.clamp(-settings.clip_sample_range, settings.clip_sample_range)
        return clean, noise


class FlowMatching(NoiseProcess):
    """The straight path from image to noise (Lipman et al., ICLR 2023); the denoiser answers its velocity."""

    def noisy(self, clean: Tensor, noise: Tensor, shares: Tensor) -> NoisyBatch:
        mixed = clean + _per_image(shares) * (noise - clean)
        return NoisyBatch(mixed, shares * self.scheduler.config.num_train_timesteps, noise - clean)

    def _split(self, noisy: NoisyBatch, noise: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
        shares = _per_image(noisy.times / self.scheduler.config.num_train_timesteps)
        return noisy.inputs - shares * answer, noisy.inputs + (1 - shares) * answer

    def _set_timesteps(self, steps: int) -> None:
        # By default the last of them would start from an image that is all but clean.
        self.scheduler.set_timesteps(sigmas=[1 - step / steps for step in range(steps)])


class Consistency(NoiseProcess):
    """A consistency model (Song et al., ICML 2023), which answers the end of the path through a noisy image."""

    def noisy(self, clean: Tensor, noise: Tensor, shares: Tensor) -> NoisyBatch:
        settings = self.scheduler.config
        low, high = (value ** (1 / settings.rho) for value in (settings.sigma_min, settings.sigma_max))
        # The smallest noise is left out: there the answer is the input itself, and the target 0 / 0.
        sigma = (low + (0.05 + 0.95 * shares) * (high - low)) ** settings.rho
        mixed = clean + _per_image(sigma) * noise
        skip, out = self.scheduler.get_scalings_for_boundary_condition(_per_image(sigma))
        return NoisyBatch(self._scaled(mixed, _per_image(sigma)), 250 * sigma.log(), (clean - skip * mixed) / out)

    def solve(self, predict: Predict, latents: Tensor, steps: int, grad_steps: int) -> Tensor:
        """Multistep consistency sampling (Song et al., 2023, algorithm 1), with each row's latent as its noise.

        New noise at every step would make an image depend on its place in the batch.
        """
        settings = self.scheduler.config
        self.scheduler.set_timesteps(steps)
        sigmas = self.scheduler.sigmas[:-1].to(latents)
        clean = torch.zeros_like(latents)
        for number, sigma in enumerate(sigmas):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= len(sigmas) - grad_steps):
                sample = clean + (sigma**2 - settings.sigma_min**2).sqrt() * latents if number else sigma * latents
                skip, out = self.scheduler.get_scalings_for_boundary_condition(sigma)
                clean = skip * sample + out * predict(self._scaled(sample, sigma), 250 * sigma.log())
                clean = clean.clamp(-1, 1) if settings.clip_denoised else clean
        return clean

    def _split(self, noisy: NoisyBatch, noise: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
        settings = self.scheduler.config
        sigma = _per_image((noisy.times / 250).exp())
        skip, out = self.scheduler.get_scalings_for_boundary_condition(sigma)
        clean = skip * noisy.inputs * (sigma**2 + settings.sigma_data**2).sqrt() + out * answer
        # as in ``solve``, each row's own noise is mixed in again: the answers to one path's points are all the same
        return clean.clamp(-1, 1) if settings.clip_denoised else clean, noise

    def _scaled(self, sample: Tensor, sigma: Tensor) -> Tensor:
        return sample / (sigma**2 + self.scheduler.config.sigma_data**2).sqrt()


def noise_process(scheduler: Any, source: str) -> NoiseProcess:
    """The process of a scheduler of ``source``, with a solver that is deterministic: DDIM where its own would not do.

    Timesteps become "trailing" (Lin et al., WACV 2024), or the last of a few steps would start from an image that is
    all but clean, where no gradient is to be had.

    Raises:
        MisuseError: if the scheduler draws noise while it samples, or is of an unknown kind.
    """
    settings = scheduler.config
    kind = type(scheduler).__name__
    found = next((f"{name}={settings[name]}" for name in _SOLVER_SETTINGS if _is_random(name, settings)), None)
    if found is not None:
        raise MisuseError(f"{source} has a {kind} with {found}, which draws noise as it samples: {_FITTING} would fit")
    if kind == _CONSISTENCY:
        return Consistency(scheduler)
    if kind == _FLOW_MATCHING and not settings.use_dynamic_shifting:
        return FlowMatching(scheduler)
    fits = settings.get("prediction_type") in _TARGETS and settings.get("timestep_type", "discrete") == "discrete"
    if fits and kind in ("DDIMScheduler", *_SOLVED_BY_DDIM):
        changed = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
        return VariancePreserving(DDIMScheduler.from_config(settings, **changed))
    if fits and kind in _OWN_SOLVER:
        return VariancePreserving(type(scheduler).from_config(settings, timestep_spacing="trailing"))
    raise MisuseError(f"{source} has a {kind}, which cannot run deterministically here: {_FITTING} would fit")


def _per_image(values: Tensor) -> Tensor:
    """(N,) to (N, 1, 1, 1)."""
    return values[:, None, None, None]


def _is_random(name: str, settings: Any) -> bool:
    value = settings.get(name)
    return value is True or (isinstance(value, str) and value.startswith("sde"))
