"""The slim part of a host encoder while both are trained: its channels, their schedule, and its batch statistics."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from synthdata.models import Encoder, cut_out, largest, slim_widths
from synthdata.rng import generator_at
from synthdata.training.config import SlimmingConfig

FROZEN_SHARE = 0.25
"""Share of the training, at its end, in which the channels stay as they are: late changes cost more than they gain."""


class SlimBranch(nn.Module):
    """An encoder whose weights are those of a host's largest channels, and whose batch statistics are its own.

    The host's weights alone are trained. ``network`` holds copies of them, brought up to date after every step, so that
    it is at all times the encoder that is saved.

    Args:
        host: the encoder that is trained.
        settings: how much is kept, how it is chosen, and when.

    Attributes:
        active: whether the slim network takes part yet.
        overlap: of the channels chosen in the last step with those before, as the Jaccard index; None if none were.

    Raises:
        MisuseError: the host's backbone cannot be slimmed.
    """

    def __init__(self, host: Encoder, settings: SlimmingConfig) -> None:
        super().__init__()
        self.settings = settings
        self._channels = host.tied_channels()
        self._widths = slim_widths(self._channels, settings.slim_ratio)
        kept = largest(self._scores(host), self._widths)
        self.network = cut_out(host, kept).requires_grad_(False)
        self.register_buffer("_kept", torch.cat(list(kept.values())))
        self._kept: Tensor
        self.steps, self.active = 0, settings.slim_warmup == 0
        self.overlap: Tensor | None = None

    @property
    def kept(self) -> dict[str, Tensor]:
        """Increasing positions of the channels that are kept, by group."""
        return dict(zip(self._widths, self._kept.split(list(self._widths.values())), strict=True))

    def project(self, host: Encoder, images: Tensor) -> Tensor:
        """Projections (N, P) of any norm by the slim network; gradients reach the weights of ``host`` that it has."""
        return functional_call(self.network, self._weights(host), (images,), {"normalise": False})

    def project_quietly(self, host: Encoder, images: Tensor) -> Tensor:
        """As ``project``, without gradient, and without moving batch statistics."""
        return project_quietly(self.network, images, self._weights(host))

    @torch.no_grad()
    def after_step(self, host: Encoder, progress: float) -> None:
        """Follow a step of the optimiser; choose the channels anew where that is due.

        Args:
            progress: share of the training that is done.
        """
        settings, self.overlap = self.settings, None
        self.steps += 1
        begins = not self.active and progress >= settings.slim_warmup
        due = self.active and settings.slim_every > 0 and self.steps % settings.slim_every == 0
        if begins or (due and progress <= 1 - FROZEN_SHARE):
            self._choose(host)
        self.active |= begins
        weights = self._weights(host)
        for name, copy in self.network.named_parameters():
            copy.copy_(weights[name])

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.steps, self.active])

    def set_extra_state(self, state: Tensor) -> None:
        self.steps, self.active = int(state[0]), bool(state[1])

    def _weights(self, host: Encoder) -> dict[str, Tensor]:
        return self._channels.select(dict(host.named_parameters()), self.kept)

    def _choose(self, host: Encoder) -> None:
        """Keep the channels that are now the largest; their batch statistics start from the host's."""
        kept, before = largest(self._scores(host), self._widths), self.kept
        shared = torch.stack([self._marked(kept, group) & self._marked(before, group) for group in kept]).sum()
        self.overlap = shared / (2 * self._kept.numel() - shared)
        self._kept.copy_(torch.cat(list(kept.values())))
        self.network.load_state_dict(self._channels.select(host.state_dict(), kept))

    def _scores(self, host: Encoder) -> Mapping[str, Tensor]:
        if self.settings.slim_by == "norm":
            return self._channels.norms(host.state_dict())
        return {
            group: torch.rand(size, generator=generator_at("slim", group)).to(next(host.parameters()).device)
            for group, size in self._channels.sizes.items()
        }

    def _marked(self, kept: Mapping[str, Tensor], group: str) -> Tensor:
        # all groups at one length, so that one sum serves them
        marks = torch.zeros(max(self._channels.sizes.values()), dtype=torch.bool, device=self._kept.device)
        return marks.index_fill(0, kept[group], True)


@torch.no_grad()
def project_quietly(network: Encoder, images: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
    """Projections (N, P) of any norm, without gradient, and without moving the batch statistics of ``network``.

    Args:
        weights: used in the place of those of ``network``, by name.
    """
    statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return functional_call(network, statistics | dict(weights or {}), (images,), {"normalise": False})
