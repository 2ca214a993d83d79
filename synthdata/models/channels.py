"""Which channels of a network stand or fall together, and every tensor that runs along them.

Channels are tied where one cannot be removed without the other: along a residual stream, through a depthwise
convolution, between a gate and what it gates. Of a transformer, whole heads and hidden units can be removed; the
residual stream stays as it is.
"""

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torchvision.models import VisionTransformer
from torchvision.ops import StochasticDepth

from synthdata.errors import MisuseError
from synthdata.models.attention import SelfAttention

_BatchNorm = nn.modules.batchnorm._BatchNorm
_KEEPING = (
    nn.ReLU, nn.Hardswish, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Hardsigmoid, nn.Identity, nn.Dropout, StochasticDepth,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten,
)  # fmt: skip
_KEEPING_FUNCTIONS = (F.relu, F.adaptive_avg_pool2d, torch.flatten, "flatten", "relu", "relu_", "contiguous")
_JOINING = (operator.add, operator.iadd, operator.mul, operator.imul, torch.add, torch.mul, "add", "add_", "mul")


@dataclass(frozen=True)
class Axis:
    """An axis of a tensor that runs along the channels of a group.

    Attributes:
        axis: of the tensor.
        group: name of the group.
        outer: how many times the axis runs along all channels, one run after the other: 3 for queries, keys, values.
        inner: neighbouring entries of one channel: the dimension of a head.
        written: whether the tensor makes these channels, rather than scaling or reading them.
    """

    axis: int
    group: str
    outer: int = 1
    inner: int = 1
    written: bool = False

    def positions(self, kept: Tensor, size: int) -> Tensor:
        """Where, along the axis, the ``kept`` ones of ``size`` channels are."""
        starts = torch.arange(self.outer, device=kept.device)[:, None, None] * size + kept[:, None]
        return (starts * self.inner + torch.arange(self.inner, device=kept.device)).flatten()

    def norms(self, tensor: Tensor) -> Tensor:
        """The L1 norm of what ``tensor`` holds of each channel."""
        entries = tensor.detach().abs().transpose(0, self.axis).flatten(1).sum(1)
        return entries.view(self.outer, -1, self.inner).sum((0, 2))


@dataclass
class Channels:
    """The groups of tied channels of a network.

    Attributes:
        sizes: channels of each group, by its name: that of the first layer that writes to it.
        axes: by the name of a parameter or buffer, its axes that run along a group.
        output: the group of the network's output; None where it cannot lose channels.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    axes: dict[str, list[Axis]] = field(default_factory=dict)
    output: str | None = None

    def norms(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The L1 norm of each channel's weights, summed over all layers that write to its group."""
        sums: dict[str, Tensor] = {}
        for name, axis in self._each():
            if axis.written:
                norms = axis.norms(tensors[name])
                sums[axis.group] = sums[axis.group] + norms if axis.group in sums else norms
        return {group: sums[group] for group in self.sizes}

    def select(self, tensors: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``tensors`` with the ``kept`` channels of every group alone; gradients reach what was selected.

        Args:
            tensors: parameters or buffers by name.
            kept: increasing positions of channels by group.
        """
        selected = {}
        for name, tensor in tensors.items():
            for axis in self.axes.get(name, ()):
                tensor = tensor.index_select(axis.axis, axis.positions(kept[axis.group], self.sizes[axis.group]))
            selected[name] = tensor
        return selected

    def prefixed(self, prefix: str) -> "Channels":
        """The same channels of a network that holds this one as its submodule ``prefix``."""
        return Channels(self.sizes, {f"{prefix}.{name}": axes for name, axes in self.axes.items()}, self.output)

    def _each(self) -> Iterator[tuple[str, Axis]]:
        for name, axes in self.axes.items():
            yield from ((name, axis) for axis in axes)


def channels_of(network: nn.Module) -> Channels:
    """The groups of tied channels of a convolutional network or a vision transformer.

    Raises:
        MisuseError: it has layers of which it is not known how they pass channels on.
    """
    if isinstance(network, VisionTransformer):
        return _of_transformer(network)
    return _Ties(network).channels()


def keep_first(network: nn.Module, channels: Channels, widths: Mapping[str, int]) -> None:
    """Leave the first ``widths[group]`` channels of every group, in place."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MultiheadAttention):
                setattr(module, name, SelfAttention.like(child))
    kept = {group: torch.arange(width) for group, width in widths.items()}
    names = channels.axes.keys()
    tensors = {name: tensor.detach() for name, tensor in network.state_dict().items() if name in names}
    for name, tensor in channels.select(tensors, kept).items():
        path, _, attribute = name.rpartition(".")
        module = network.get_submodule(path)
        is_parameter = isinstance(getattr(module, attribute), nn.Parameter)
        setattr(module, attribute, nn.Parameter(tensor) if is_parameter else tensor)
    for module in network.modules():
        _declare_sizes(module)


def _declare_sizes(module: nn.Module) -> None:
    """Let a layer's attributes say what its tensors are."""
    if isinstance(module, nn.Conv2d):
        module.out_channels, inputs = module.weight.shape[:2]
        if module.groups > 1:
            module.groups = module.out_channels
        module.in_channels = inputs * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _BatchNorm):
        module.num_features = module.weight.numel()


def _of_transformer(network: VisionTransformer) -> Channels:
    channels = Channels()
    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention | SelfAttention):
            channels.sizes[name] = module.num_heads
            size = module.head_dim
            channels.axes[f"{name}.in_proj_weight"] = [Axis(0, name, outer=3, inner=size, written=True)]
            channels.axes[f"{name}.in_proj_bias"] = [Axis(0, name, outer=3, inner=size)]
            channels.axes[f"{name}.out_proj.weight"] = [Axis(1, name, inner=size)]
        elif name.endswith(".mlp"):
            hidden = f"{name}.0"
            channels.sizes[hidden] = network.get_submodule(hidden).out_features
            channels.axes[f"{hidden}.weight"] = [Axis(0, hidden, written=True)]
            channels.axes[f"{hidden}.bias"] = [Axis(0, hidden)]
            channels.axes[f"{name}.3.weight"] = [Axis(1, hidden)]
    return channels


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return next(m.children(), None) is None


class _Ties:
    """Follows the channels of a convolutional network from layer to layer, as its graph has them."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._layers: list[str] = []
        """The layers that make channels, each of a group of its own until that is tied to an earlier one."""
        self._tied_to: list[int] = []
        self._sizes: list[int] = []
        self._axes: list[tuple[str, int, int, bool]] = []

    def channels(self) -> Channels:
        made: dict[fx.Node, int | None] = {}
        output = None
        for node in _Tracer().trace(self._network).nodes:
            inputs = [made[argument] for argument in node.all_input_nodes]
            if node.op == "placeholder":
                made[node] = None
            elif node.op == "output":
                output = inputs[0]
            elif node.op == "call_module":
                made[node] = self._through(str(node.target), inputs[0])
            elif node.target in _JOINING and len(inputs) == 2:
                made[node] = self._tie(*inputs)
            elif node.target in _KEEPING_FUNCTIONS and len(inputs) == 1:
                made[node] = inputs[0]
            else:
                raise self._refusal(str(node.target))
        names = {number: self._layers[self._first(number)] for number in range(len(self._layers))}
        found = Channels({self._layers[n]: self._sizes[n] for n in names if self._first(n) == n})
        for tensor, axis, number, written in self._axes:
            found.axes.setdefault(tensor, []).append(Axis(axis, names[number], written=written))
        found.output = None if output is None else names[output]
        return found

    def _through(self, name: str, channels: int | None) -> int | None:
        """The channels that a layer gives where it takes ``channels``; None stands for those of the images."""
        layer = self._network.get_submodule(name)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
            if depthwise and (channels is None or not layer.groups == layer.in_channels == layer.out_channels):
                raise self._refusal(name)
            made = channels if depthwise else self._new(name, layer.weight.shape[0])
            assert made is not None
            self._axes.append((f"{name}.weight", 0, made, not depthwise))
            if layer.bias is not None:
                self._axes.append((f"{name}.bias", 0, made, False))
            if channels is not None and not depthwise:
                self._axes.append((f"{name}.weight", 1, channels, False))
            return made
        if isinstance(layer, _BatchNorm) and channels is not None:
            for tensor in ("weight", "bias", "running_mean", "running_var"):
                self._axes.append((f"{name}.{tensor}", 0, channels, False))
            return channels
        if isinstance(layer, _KEEPING):
            return channels
        raise self._refusal(name)

    def _new(self, layer: str, size: int) -> int:
        self._layers.append(layer)
        self._sizes.append(size)
        self._tied_to.append(len(self._layers) - 1)
        return self._tied_to[-1]

    def _first(self, number: int) -> int:
        """The earliest layer whose channels are tied to those of layer ``number``."""
        while self._tied_to[number] != number:
            number = self._tied_to[number]
        return number

    def _tie(self, one: int | None, other: int | None) -> int:
        if one is None or other is None:
            raise self._refusal("a sum with the images")
        first, later = sorted((self._first(one), self._first(other)))
        self._tied_to[later] = first
        return first

    def _refusal(self, what: str) -> MisuseError:
        return MisuseError(
            f"{type(self._network).__name__} cannot be slimmed: it is not known how {what} passes channels on"
        )
