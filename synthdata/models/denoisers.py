"""Two denoisers tuned away from one frozen base, as adapters on it or as copies of it, and their moving averages."""

import copy
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call

from synthdata.errors import MisuseError
from synthdata.models.noising import Predict
from synthdata.models.pipeline_folder import load_network

Weights = Literal["member_a", "member_b", "average_a", "average_b"]
"""The weights of a pair: each member's own, and their moving average."""

_MEMBERS: tuple[tuple[Weights, Weights], ...] = (("member_a", "average_a"), ("member_b", "average_b"))
_ADAPTED = ("down_blocks", "mid_block", "up_blocks")


class DenoiserPair(nn.Module, ABC):
    """A base and the two members of a pair."""

    @abstractmethod
    def forward(self, inputs: Tensor, times: Tensor, weights: Weights | None) -> Tensor:
        """The denoiser's answer (N, C, H, W) to ``inputs`` of that shape at ``times``; of the base for None."""

    @abstractmethod
    def sampler(self, weights: Weights | None) -> Predict:
        """What answers as ``forward`` would with the weights as they are now, for many calls without gradient."""

    @abstractmethod
    def base_parameters(self) -> list[nn.Parameter]:
        """The base's own parameters."""

    @abstractmethod
    def parameters_of(self, weights: Weights) -> list[nn.Parameter]:
        """What these weights have beyond the base, in the same order for all."""

    @abstractmethod
    def merged(self, weights: Weights | None) -> UNet2DModel:
        """A network of its own with these weights; it may share them with the pair."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what ``load`` needs beside ``merged("average_a")`` to make this pair again."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Become the pair that was saved in ``folder``, given its ``merged("average_a")`` as the base."""

    def trained_parameters(self) -> list[nn.Parameter]:
        """What tuning trains: both members' parameters."""
        return self.parameters_of("member_a") + self.parameters_of("member_b")

    @torch.no_grad()
    def begin(self) -> None:
        """Start both members and their averages as copies of what member a is before its first step: the base."""
        for weights in get_args(Weights)[1:]:
            torch._foreach_copy_([*self.parameters_of(weights)], [*self.parameters_of("member_a")])

    def freeze_base(self) -> None:
        """From now on only the members are trained."""
        for parameter in self.base_parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the averages towards the members by ``1 − decay``."""
        for weights, average in _MEMBERS:
            torch._foreach_lerp_([*self.parameters_of(average)], [*self.parameters_of(weights)], 1 - decay)


class AdapterPair(DenoiserPair):
    """Members as LoRA adapters (Hu et al., ICLR 2022) on one base, which is in memory once.

    Every convolution and every linear layer of the network's blocks is adapted.

    Args:
        unet: the base; adapters are put into it in place.
        rank: of the adapters.
    """

    def __init__(self, unet: UNet2DModel, rank: int) -> None:
        super().__init__()
        self._base = list(unet.parameters())
        adapted = [
            name
            for name, layer in unet.named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear) and name.startswith(_ADAPTED)
        ]
        self.config = LoraConfig(r=rank, lora_alpha=rank, target_modules=adapted)
        required = [parameter.requires_grad for parameter in self._base]
        # What peft wraps the network in is not kept: the layers that it puts into the network are all that is needed.
        wrapper = get_peft_model(unet, self.config, adapter_name="member_a")
        for weights in get_args(Weights)[1:]:
            wrapper.add_adapter(weights, self.config)
        for parameter, was_required in zip(self._base, required, strict=True):
            parameter.requires_grad_(was_required)  # peft froze it; pre-training comes first
        self.unet = unet
        self._layers: dict[str, Any] = {
            name: layer for name, layer in unet.named_modules() if isinstance(layer, LoraLayer)
        }
        self._parameters_of: dict[Weights, list[nn.Parameter]] = {
            weights: [part[weights].weight for layer in self._layers.values() for part in (layer.lora_A, layer.lora_B)]
            for weights in get_args(Weights)
        }
        self._active: Weights | None = "member_a"
        self._activate(None)

    def forward(self, inputs: Tensor, times: Tensor, weights: Weights | None) -> Tensor:
        self._activate(weights)
        return self.unet(inputs, times, return_dict=False)[0]

    def sampler(self, weights: Weights | None) -> Predict:
        if weights is None:
            return partial(self.forward, weights=None)
        # Computed beside every layer, adapters make small networks twice as slow: here their product is added once.
        changed = {f"{name}.base_layer.weight": weight for name, weight in self._merged_weights(weights).items()}

        def predict(inputs: Tensor, times: Tensor) -> Tensor:
            self._activate(None)
            return functional_call(self.unet, changed, (inputs, times), {"return_dict": False}, tie_weights=False)[0]

        return predict

    def base_parameters(self) -> list[nn.Parameter]:
        return self._base

    def parameters_of(self, weights: Weights) -> list[nn.Parameter]:
        return self._parameters_of[weights]

    def merged(self, weights: Weights | None) -> UNet2DModel:
        state = {
            name.replace(".base_layer.", "."): value
            for name, value in self.unet.state_dict().items()
            if ".lora_" not in name
        }
        if weights is not None:
            state |= {f"{name}.weight": weight for name, weight in self._merged_weights(weights).items()}
        unet = UNet2DModel.from_config(self.unet.config)
        unet.load_state_dict(state)
        return unet.eval()

    def save(self, folder: Path) -> None:
        for member, (_, average) in zip("ab", _MEMBERS, strict=True):
            adapter = folder / "adapters" / member
            self.config.save_pretrained(str(adapter))
            state = get_peft_model_state_dict(self.unet, adapter_name=average)
            state = {name: value.contiguous() for name, value in state.items()}
            save_file(state, adapter / "adapter_model.safetensors")

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        for member, (own, average) in zip("ab", _MEMBERS, strict=True):
            path = folder / "adapters" / member / "adapter_model.safetensors"
            if not path.is_file():
                raise MisuseError(f"there is no {path}: restore it, or train again")
            state = load_file(path)
            if state.keys() != get_peft_model_state_dict(self.unet, adapter_name=average).keys():
                raise MisuseError(f"{path} adapts another network: restore the file or train again")
            for weights in (own, average):
                set_peft_model_state_dict(self.unet, state, adapter_name=weights)
        # What was saved as the network is member a's merged weights.
        for layer in self._layers.values():
            layer.get_base_layer().weight -= layer.get_delta_weight("average_a")

    @torch.no_grad()
    def _merged_weights(self, weights: Weights) -> dict[str, Tensor]:
        """The adapted layers' weights with an adapter's product added to them."""
        return {
            name: layer.get_base_layer().weight + layer.get_delta_weight(weights)
            for name, layer in self._layers.items()
        }

    def _activate(self, weights: Weights | None) -> None:
        """Let calls of the network use an adapter, or none."""
        if weights == self._active:
            return
        for layer in self._layers.values():
            if weights is not None:
                layer.set_adapter(weights)
            layer.enable_adapters(weights is not None)
        # peft lets the active adapter learn and no other: both members do, for one step holds samples of both.
        for own, average in _MEMBERS:
            for trained, mean in zip(self._parameters_of[own], self._parameters_of[average], strict=True):
                trained.requires_grad_(True)
                mean.requires_grad_(False)
        self._active = weights


class CopiedPair(DenoiserPair):
    """Members as complete copies of the base, all of whose weights are tuned.

    Args:
        unet: the base.
    """

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__()
        self.base = unet
        self.copies = nn.ModuleDict({weights: copy.deepcopy(unet) for weights in get_args(Weights)})
        for _, average in _MEMBERS:
            self.copies[average].requires_grad_(False)

    def forward(self, inputs: Tensor, times: Tensor, weights: Weights | None) -> Tensor:
        return self.merged(weights)(inputs, times, return_dict=False)[0]

    def sampler(self, weights: Weights | None) -> Predict:
        return partial(self.forward, weights=weights)

    def base_parameters(self) -> list[nn.Parameter]:
        return list(self.base.parameters())

    def parameters_of(self, weights: Weights) -> list[nn.Parameter]:
        return list(self.copies[weights].parameters())

    @torch.no_grad()
    def begin(self) -> None:
        torch._foreach_copy_([*self.parameters_of("member_a")], [*self.base_parameters()])
        super().begin()

    def merged(self, weights: Weights | None) -> UNet2DModel:
        return self.base if weights is None else cast(UNet2DModel, self.copies[weights])

    def save(self, folder: Path) -> None:
        self.base.save_pretrained(folder / "base", safe_serialization=True)
        self.merged("average_b").save_pretrained(folder / "partner", safe_serialization=True)

    def load(self, folder: Path) -> None:
        saved = [self.base.state_dict(), load_network(UNet2DModel, folder / "partner").state_dict()]
        for of_member, state in zip(_MEMBERS, saved, strict=True):
            for weights in of_member:
                self.merged(weights).load_state_dict(state)
        self.base.load_state_dict(load_network(UNet2DModel, folder / "base").state_dict())
