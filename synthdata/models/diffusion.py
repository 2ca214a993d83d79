"""Diffusion models behind the ``Generator`` interface, tuned by gradients through their last denoising steps.

Clark et al., "Directly Fine-Tuning Diffusion Models on Differentiable Rewards" (ICLR 2024).
"""

import copy
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from synthdata.errors import MisuseError
from synthdata.models.denoisers import AdapterPair, CopiedPair, DenoiserPair, Weights
from synthdata.models.generator import Generator, Member
from synthdata.models.noising import NoisyBatch, Predict, noise_process
from synthdata.models.pipeline_folder import PipelineParts, read_pipeline, write_pipeline
from synthdata.ranges import NonNegativeFloat, PositiveInt, Range
from synthdata.reading import read_json
from synthdata.rng import BatchRandom, generator_at

SETTINGS = "synthdata.json"
"""What a saved pipeline has beside what diffusers reads: the configuration that its pair was made with."""

REALISM_SHARES = (0.2, 0.35, 0.5)
"""How far along the noise process an image is denoised to judge it. On digits, the scores of these three refuse 5 % of
unseen real images where they refuse three quarters of averages of two images, and all blank ones; less noise lets blank
images pass, more noise averages."""

_WEIGHTS: dict[tuple[Member, bool], Weights] = {
    ("a", False): "member_a",
    ("b", False): "member_b",
    ("a", True): "average_a",
    ("b", True): "average_b",
}


@dataclass
class DiffusionConfig:
    """The diffusion model, its sampling, and what its tuning trains.

    Attributes:
        sampling_steps: denoising steps of an image.
        variation_steps: denoising steps of a variant of an image, whatever level it starts from.
        grad_steps: calls of the denoiser, the last ones, that gradients pass through. Through one alone, a member
            learns texture rather than shape.
        prediction: what a denoiser of our own pre-training predicts: the noise, or a mix of noise and image.
        train: "lora" tunes adapters on one base for both members, "all" two copies of all weights.
        lora_rank: of the adapters.
        drift_weight: weight of the squared distance of a member's predictions from those of the frozen base.
        gradient_checkpointing: compute a denoising step again in the backward pass rather than keep its activations.
        widths: channels of our own denoiser at full size, half size, and so on.
        layers: its residual blocks at each size.
        attention: whether it attends at its lowest resolution.
    """

    sampling_steps: Annotated[int, Range(4, 50)] = 10
    variation_steps: Annotated[int, Range(1, 50)] = 4
    grad_steps: PositiveInt = 3
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    train: Literal["lora", "all"] = "lora"
    lora_rank: PositiveInt = 8
    drift_weight: NonNegativeFloat = 1.0
    gradient_checkpointing: bool = False
    widths: list[PositiveInt] = field(default_factory=lambda: [16, 32, 32])
    layers: PositiveInt = 1
    attention: bool = False


class Diffusion(Generator):
    """A pair of denoisers over one frozen base, sampled in a few deterministic steps.

    The latent is the noise that sampling starts from. Until ``begin_tuning`` the base itself is trained, and its moving
    average kept beside it.

    Args:
        config: sampling and tuning.
        parts: the pipeline; its denoiser becomes the base.

    Raises:
        MisuseError: if the number of steps does not fit the scheduler.
    """

    kind = "diffusion"
    betas = (0.9, 0.99)
    autoencoder: Any
    probes: Tensor

    def __init__(self, config: DiffusionConfig, parts: PipelineParts) -> None:
        super().__init__()
        _check_steps(config, parts.process.scheduler.config.num_train_timesteps)
        self.config, self.process = config, parts.process
        self.latent_shape, self.image_size, self.channels = parts.latent_shape, parts.image_size, parts.channels
        self.autoencoder = parts.autoencoder and parts.autoencoder.requires_grad_(False)
        self.average: UNet2DModel | None = copy.deepcopy(parts.unet).requires_grad_(False)
        self.pair: DenoiserPair = (
            AdapterPair(parts.unet, config.lora_rank) if config.train == "lora" else CopiedPair(parts.unet)
        )
        probes = (len(REALISM_SHARES), *self.latent_shape)
        self.register_buffer("probes", torch.randn(probes, generator=generator_at("realism")), persistent=False)

    @classmethod
    def untrained(cls, config: DiffusionConfig, image_size: int, channels: int) -> Self:
        """A small denoiser of pixels, to be pre-trained.

        Raises:
            MisuseError: if the image size cannot be halved as often as ``config.widths`` asks for.
        """
        unet = _small_unet(config, image_size, channels)
        zero_snr = config.prediction == "v_prediction"
        scheduler = DDIMScheduler(
            beta_schedule="squaredcos_cap_v2",
            prediction_type=config.prediction,
            # With these two, sampling starts from pure noise as training saw it (Lin et al., WACV 2024).
            timestep_spacing="trailing",
            rescale_betas_zero_snr=zero_snr,
        )
        return cls(config, PipelineParts(unet, noise_process(scheduler, "the pre-training")))

    @classmethod
    def from_folder(cls, folder: Path, source: str, config: DiffusionConfig | None = None) -> Self:
        """The pipeline in ``folder``, ready to sample or to be tuned.

        Args:
            folder: a stock unconditional pipeline, or one that ``save_pretrained`` wrote, with its pair.
            source: what the user named, for messages.
            config: sampling and tuning; what a pair is made of is as saved.

        Raises:
            MisuseError: if the pipeline does not fit.
        """
        saved = _read_settings(folder)
        if saved is not None:
            config = replace(config or saved, train=saved.train, lora_rank=saved.lora_rank)
        generator = cls(config or DiffusionConfig(), read_pipeline(folder, source))
        generator.average = None
        if saved is None:
            generator.pair.begin()
        else:
            generator.pair.load(folder)
        generator.pair.freeze_base()
        return generator

    def sample(self, latents: Tensor, member: Member = "a", averaged: bool = False) -> Tensor:
        predict = self._denoiser(member, averaged)
        clean = self.process.solve(predict, latents, self.config.sampling_steps, self.config.grad_steps)
        return self._decode(clean.float()).clamp(-1, 1)

    def vary(
        self,
        images: Tensor,
        noise_level: Tensor | float,
        latents: Tensor,
        member: Member = "a",
        averaged: bool = False,
    ) -> Tensor:
        levels = torch.as_tensor(noise_level, dtype=torch.float32, device=images.device).expand(len(images))
        if not ((levels >= 0) & (levels < 1)).all():
            wrong = next(level for level in levels.tolist() if not 0 <= level < 1)
            raise MisuseError(f"the noise level of a variant is {wrong:g}: it must be at least 0 and less than 1")
        with torch.no_grad():
            clean = self._encode(images)
        predict, steps = self._denoiser(member, averaged), self.config.variation_steps
        varied = self.process.solve_from(predict, clean, latents, levels, steps, self.config.grad_steps)
        # without noise there is nothing to denoise, and an autoencoder would change the image all the same
        return torch.where(levels[:, None, None, None] == 0, images, self._decode(varied.float()).clamp(-1, 1))

    def realism(self, images: Tensor) -> Tensor:
        """Minus the base's mean squared error in denoising each image at fixed noise: (N,), at most 0."""
        clean, losses = self._encode(images), []
        predict = self.pair.sampler(None)
        for share, noise in zip(REALISM_SHARES, self.probes, strict=True):
            noisy = self.process.noisy(clean, noise, torch.full((len(clean),), share, device=clean.device))
            error = predict(noisy.inputs, noisy.times).float() - noisy.target
            losses.append(error.square().mean((1, 2, 3)))
        return -torch.stack(losses).mean(0)

    def pretraining_loss(self, real: Tensor, random: BatchRandom) -> Tensor:
        noisy = self._noisy(real, "real", random)
        return F.mse_loss(self.pair(noisy.inputs, noisy.times, None).float(), noisy.target)

    def realism_loss(self, member: Member, images: Tensor, real: Tensor, random: BatchRandom) -> Tensor:
        """The member's denoising loss on real images, and its drift from the base on these and on its own images."""
        # Noise of its own for each member: with the same, b would follow a, and their similarity stay at its maximum.
        of_real = self._noisy(real, f"real {member}", random)
        of_own = self._noisy(images.detach(), f"synthetic {member}", random)
        inputs, times = torch.cat([of_real.inputs, of_own.inputs]), torch.cat([of_real.times, of_own.times])
        answer = self.pair(inputs, times, _WEIGHTS[member, False]).float()
        with torch.no_grad():
            base = self.pair(inputs, times, None).float()
        denoising = F.mse_loss(answer[: len(real)], of_real.target)
        return denoising + self.config.drift_weight * F.mse_loss(answer, base)

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        base = [] if self.average is None else self.pair.base_parameters()
        return [*base, *self.pair.trained_parameters()]

    def begin_tuning(self) -> None:
        if self.average is not None:
            with torch.no_grad():
                torch._foreach_copy_([*self.pair.base_parameters()], [*self.average.parameters()])
            self.average = None
        self.pair.begin()
        self.pair.freeze_base()

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        if self.average is None:
            self.pair.update_average(decay)
        else:
            torch._foreach_lerp_([*self.average.parameters()], [*self.pair.base_parameters()], 1 - decay)

    def save_pretrained(self, folder: Path) -> None:
        """Write member a as a stock pipeline, and beside it what makes the pair and its base of it.

        ``from_pretrained`` of diffusers does not look at the latter. The base is not stored again: of adapters, it is
        member a's network minus its adapter, up to rounding.
        """
        unet = self.pair.merged("average_a")
        if self.average is not None:
            unet = self.average
        write_pipeline(PipelineParts(unet, self.process, self.autoencoder), folder)
        self.pair.save(folder)
        (folder / SETTINGS).write_text(json.dumps(asdict(self.config), indent=2) + "\n")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        if not any(name.startswith("average.") for name in state_dict):
            self.average = None  # the state is of a generator whose tuning has begun
            self.pair.freeze_base()
        return super().load_state_dict(state_dict, strict, assign)

    def _denoiser(self, member: Member, averaged: bool) -> Predict:
        """What ``sample`` asks at every step."""
        weights = _WEIGHTS[member, averaged] if self.average is None else None
        if self.average is not None and averaged:
            average = self.average
            return lambda inputs, times: average(inputs, times, return_dict=False)[0].float()
        without_gradient = self.pair.sampler(weights)

        def predict(inputs: Tensor, times: Tensor) -> Tensor:
            if not torch.is_grad_enabled():
                answer = without_gradient(inputs, times)
            elif self.config.gradient_checkpointing:
                answer = _checkpoint(self.pair, inputs, times, weights)
            else:
                answer = self.pair(inputs, times, weights)
            return answer.float()

        return predict

    def _noisy(self, images: Tensor, purpose: str, random: BatchRandom) -> NoisyBatch:
        """Images at noise levels that are spread evenly over the batch of all processes."""
        clean, device = self._encode(images), images.device
        noise = random.latents(f"noise of {purpose}", len(clean), self.latent_shape)
        shares = random.rows(
            f"noise level of {purpose}",
            len(clean),
            lambda n, g: (torch.arange(n, device=device) + torch.rand(n, generator=g, device=device)) / n,
        )
        return self.process.noisy(clean, noise, shares.clamp(max=1 - 1e-6))

    def _encode(self, images: Tensor) -> Tensor:
        """What the denoiser works on: the images themselves, or their scaled latent code."""
        if self.autoencoder is None:
            return images
        coded = self.autoencoder.encode(images)
        code = coded.latents if hasattr(coded, "latents") else coded.latent_dist.mode()
        return code.float() * self.autoencoder.config.scaling_factor

    def _decode(self, clean: Tensor) -> Tensor:
        if self.autoencoder is None:
            return clean
        code = clean / self.autoencoder.config.scaling_factor
        decode = self.autoencoder.decode
        if torch.is_grad_enabled() and self.config.gradient_checkpointing:
            return _checkpoint(lambda code: decode(code).sample, code).float()
        return decode(code).sample.float()


_checkpoint = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)


def _check_steps(config: DiffusionConfig, most: int) -> None:
    """Raise ``MisuseError`` unless the scheduler has as many steps, ``most``, and gradients pass through no more."""
    if config.sampling_steps > most:
        raise MisuseError(f"sampling_steps is {config.sampling_steps}: the pipeline's scheduler has {most} at most")
    if config.grad_steps > config.sampling_steps:
        raise MisuseError(f"grad_steps is {config.grad_steps}: there are {config.sampling_steps} sampling_steps")


def _small_unet(config: DiffusionConfig, image_size: int, channels: int) -> UNet2DModel:
    levels = len(config.widths)
    if levels == 0 or image_size % 2 ** (levels - 1):
        raise MisuseError(
            f"generator.diffusion.widths has {levels} levels, each half the size of the one before, which does not fit "
            f"images of {image_size} px: give fewer widths, or set data.image_size"
        )
    lowest = "Attn" if config.attention else ""
    return UNet2DModel(
        sample_size=image_size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(config.widths),
        layers_per_block=config.layers,
        down_block_types=("DownBlock2D",) * (levels - 1) + (f"{lowest}DownBlock2D",),
        up_block_types=(f"{lowest}UpBlock2D",) + ("UpBlock2D",) * (levels - 1),
        add_attention=config.attention,
        norm_num_groups=math.gcd(32, *(width // 2 for width in config.widths)),
    )


def _read_settings(folder: Path) -> DiffusionConfig | None:
    """The configuration that was saved with a pair; None for a stock pipeline."""
    path = folder / SETTINGS
    if not path.exists():
        return None
    return read_json(path, DiffusionConfig, "restore it, or train again", MisuseError)
