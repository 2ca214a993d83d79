"""Slim encoders are cut out whole: what is left computes what the masked network computes."""

import copy
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from synthdata.errors import MisuseError
from synthdata.models import (
    Encoder,
    cost_of,
    cut_by_norm,
    cut_out,
    estimate_statistics,
    images_per_second,
    largest,
    slim_widths,
)
from synthdata.models.channels import channels_of
from synthdata.models.encoder import Backbone
from synthdata.rng import generator_at

SMALL = ("resnet8", "resnet14")


def encoder_of(backbone: Backbone = "resnet8", width: int = 8, size: int = 8) -> Encoder:
    """One whose batch statistics are not those of a new network."""
    torch.manual_seed(0)
    encoder = Encoder(backbone, size, 1, width=width, hidden_dim=8, projection_dim=6)
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if weight.ndim == 1 and "backbone" in name:  # biases are 0 and scales 1 in a new network
                weight += 0.1 * torch.randn(weight.shape, generator=generator_at(name))
        for step in range(2):
            encoder(images(step, size))
    return encoder.eval()


def images(number: int, size: int = 8, count: int = 4) -> Tensor:
    return torch.rand(count, 1, size, size, generator=generator_at("images", number)) * 2 - 1


def chosen(encoder: Encoder, ratio: float = 0.5) -> dict[str, Tensor]:
    channels = encoder.tied_channels()
    return largest(channels.norms(encoder.state_dict()), slim_widths(channels, ratio))


def masked(encoder: Encoder, kept: dict[str, Tensor]) -> Encoder:
    """``encoder`` with 0 for whatever makes, scales or shifts a channel that is not kept; what reads it is left."""
    channels, network = encoder.tied_channels(), copy.deepcopy(encoder)
    for name, tensor in network.state_dict().items():
        for axis in channels.axes.get(name, ()):
            if axis.axis == 0 and "running" not in name:
                removed = torch.ones(len(tensor), dtype=torch.bool)
                removed[axis.positions(kept[axis.group], channels.sizes[axis.group])] = False
                tensor[removed] = 0
    return network


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_the_encoder_that_is_cut_out_is_the_masked_one(backbone: Backbone, tmp_path: Path) -> None:
    encoder = encoder_of(backbone, size=16 if backbone in SMALL else 32)
    kept, shown = chosen(encoder), images(3, encoder.image_size)
    cut_out(encoder, kept).save_pretrained(tmp_path)
    slim = Encoder.from_pretrained(tmp_path)
    with torch.no_grad():
        expected, found = (network(shown, normalise=False) for network in (masked(encoder, kept), slim))
        whole = encoder(shown, normalise=False)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, whole, atol=1e-4)
    before, after = cost_of(encoder), cost_of(slim)
    assert after.parameters < 0.55 * before.parameters
    assert after.operations < 0.55 * before.operations


def test_half_the_channels_are_a_quarter_of_the_operations_and_of_the_file(tmp_path: Path) -> None:
    encoder = encoder_of(width=32, size=16)
    slim = cut_by_norm(encoder, 0.5)
    for name, network in {"host": encoder, "slim": slim}.items():
        network.save_pretrained(tmp_path / name)
    before, after = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("host", "slim"))
    assert after < 0.35 * before
    assert cost_of(slim) == cost_of(Encoder("resnet8", 16, 1, width=16))
    assert cost_of(slim).operations < 0.26 * cost_of(encoder).operations
    rates = images_per_second([encoder, slim], batch=16, rounds=5)
    assert rates[1] > rates[0]


def test_the_cost_of_an_encoder_is_what_its_layers_add_up_to() -> None:
    # resnet8 of width 4 on 8 px: the stem, two convolutions a stage, and two shortcuts, at 64, 16 and 4 positions
    multiplications = 64 * 9 * 4 + 2 * 64 * 9 * 16
    multiplications += 16 * (9 * 32 + 9 * 64 + 32) + 4 * (9 * 128 + 9 * 256 + 128)
    weights = 36 + 2 * 144 + (288 + 576 + 32) + (1152 + 2304 + 128) + 2 * (4 + 8 + 24 + 48)
    cost = cost_of(Encoder("resnet8", 8, 1, width=4))
    assert (cost.parameters, cost.operations) == (weights, 2 * multiplications)


@pytest.mark.parametrize("ratio", [0.29, 0.5, 0.7])
def test_every_group_keeps_its_share_rounded_down_of_largest_norm(ratio: float) -> None:
    encoder = Encoder("resnet8", 8, 1, width=100, hidden_dim=4, projection_dim=4)
    convolutions = {name: layer for name, layer in encoder.backbone.named_modules() if isinstance(layer, nn.Conv2d)}
    tied = {"stem.0": ("stem.0", "stages.0.conv2"), "stages.1.conv1": ("stages.1.conv1",),
            "stages.2.conv2": ("stages.2.conv2", "stages.2.downsample.0")}  # fmt: skip
    kept = chosen(encoder, ratio)
    assert kept.keys() == encoder.tied_channels().sizes.keys()
    for group, layers in tied.items():
        sums = torch.stack([convolutions[name].weight.detach().abs().flatten(1).sum(1) for name in layers]).sum(0)
        count = round(100 * ratio) * len(sums) // 100
        assert set(kept[group].tolist()) == set(sums.topk(count).indices.tolist())
        assert kept[group].tolist() == sorted(kept[group].tolist())


def test_of_equal_channels_the_earlier_ones_are_kept() -> None:
    norms = {"group": torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0, 1.0])}
    assert largest(norms, {"group": 4})["group"].tolist() == [0, 1, 2, 3]


def test_no_layer_is_left_with_too_few_channels_to_pass_anything_on() -> None:
    widths = slim_widths(Encoder("resnet8", 8, 1, width=16).tied_channels(), 0.1)
    assert set(widths.values()) == {8}
    heads = slim_widths(Encoder("vit_tiny", 8, 1).tied_channels(), 0.1)
    assert {count for group, count in heads.items() if group.endswith("attention")} == {1}


def test_an_encoder_that_was_cut_out_can_be_cut_again() -> None:
    twice = cut_by_norm(cut_by_norm(encoder_of(width=32), 0.5), 0.5)
    assert cost_of(twice) == cost_of(Encoder("resnet8", 8, 1, width=8))


def test_a_layer_of_unknown_kind_is_named() -> None:
    with pytest.raises(MisuseError, match="cannot be slimmed: it is not known how 1 passes channels on"):
        channels_of(nn.Sequential(nn.Conv2d(1, 4, 3), nn.PixelShuffle(2), nn.Conv2d(1, 4, 3)))
    with pytest.raises(MisuseError, match="cannot be slimmed"):
        channels_of(nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=2)))


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ([4], "must be channels by group"),
        ({"stem.0": 4}, "do not fit its backbone: stages.0.conv1"),
        (dict.fromkeys(Encoder("resnet8", 8, 1).tied_channels().sizes, 99), "from 1 to 16"),
    ],
)
def test_widths_that_do_not_fit_are_named(widths: dict[str, int], words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        Encoder("resnet8", 8, 1, widths=widths)


def test_estimated_statistics_are_those_of_the_images() -> None:
    encoder = encoder_of()
    encoder.train()
    shown = images(5, count=64)
    estimate_statistics(encoder, shown.split(16))
    norm = encoder.backbone.stem[1]
    responses = encoder.backbone.stem[0](shown).detach()
    torch.testing.assert_close(norm.running_mean, responses.mean((0, 2, 3)))
    assert encoder.training
    assert norm.momentum == 0.1
