"""Two adapters, or two copies, over one base."""

import copy
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file
from small_generators import scramble, small_unet
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.models.denoisers import AdapterPair, CopiedPair, DenoiserPair, Weights
from synthdata.rng import generator_at

KINDS = {"adapters": lambda unet: AdapterPair(unet, rank=2), "copies": CopiedPair}


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> DenoiserPair:
    """Members and averages that all differ."""
    made = KINDS[request.param](small_unet())
    made.begin()
    made.freeze_base()
    for weights in get_args(Weights):
        for parameter in made.parameters_of(weights):
            noise = torch.randn(parameter.shape, generator=generator_at("member", weights))
            parameter.data.add_(noise * 0.1)
    return made


def inputs(count: int = 2) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, 16, 16, generator=generator_at("inputs")), torch.arange(count) * 100


def answers(pair: DenoiserPair) -> dict[Weights | None, Tensor]:
    with torch.no_grad():
        return {weights: pair(*inputs(), weights) for weights in (None, *get_args(Weights))}


def test_each_of_the_weights_has_an_answer_of_its_own(pair: DenoiserPair) -> None:
    found = list(answers(pair).values())
    for i, first in enumerate(found):
        assert all(not torch.allclose(first, other, atol=1e-3) for other in found[i + 1 :])


def test_an_answer_does_not_depend_on_what_was_asked_before(pair: DenoiserPair) -> None:
    expected = answers(pair)
    with torch.no_grad():
        for before in expected:
            for weights, answer in expected.items():
                pair(*inputs(), before)
                assert torch.equal(pair(*inputs(), weights), answer)


def test_the_base_answers_as_the_network_without_members(pair: DenoiserPair) -> None:
    with torch.no_grad():
        assert torch.equal(answers(pair)[None], small_unet()(*inputs()).sample)


def test_members_begin_as_the_base() -> None:
    for make in KINDS.values():
        pair = make(small_unet())
        scramble(pair, "pre-trained")
        pair.begin()
        found = answers(pair)
        for weights in get_args(Weights):
            torch.testing.assert_close(found[weights], found["member_a"], atol=0, rtol=0)


@pytest.mark.parametrize("weights", [None, *get_args(Weights)])
def test_samplers_and_merged_networks_answer_alike(weights: Weights | None, pair: DenoiserPair) -> None:
    expected = answers(pair)[weights]
    with torch.no_grad():
        torch.testing.assert_close(pair.sampler(weights)(*inputs()), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(pair.merged(weights)(*inputs()).sample, expected, atol=1e-5, rtol=1e-4)


def test_training_leaves_the_base_and_the_other_member_untouched(pair: DenoiserPair) -> None:
    before = {weights: [p.clone() for p in pair.parameters_of(weights)] for weights in get_args(Weights)}
    base = [parameter.clone() for parameter in pair.base_parameters()]
    optimizer = torch.optim.Adam(pair.trained_parameters(), lr=0.01)
    for _ in range(3):
        pair(*inputs(), None)
        loss = pair(*inputs(), "member_a").square().mean()
        pair(*inputs(), "member_b")
        pair.sampler("average_b")(*inputs())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(map(torch.equal, pair.base_parameters(), base))
    for weights, values in before.items():
        unchanged = all(map(torch.equal, pair.parameters_of(weights), values))
        assert unchanged == (weights != "member_a")


def test_adapters_need_a_small_part_of_the_memory_of_copies() -> None:
    sizes = {}
    for name, make in KINDS.items():
        pair = make(small_unet(block_out_channels=(32, 64), norm_num_groups=8))
        sizes[name] = sum(parameter.numel() for parameter in pair.parameters())
    base = sum(parameter.numel() for parameter in small_unet(block_out_channels=(32, 64)).parameters())
    assert sizes["copies"] == 5 * base
    assert sizes["adapters"] < 1.5 * base


def test_every_layer_of_the_blocks_is_adapted_and_no_other() -> None:
    pair = AdapterPair(small_unet(), rank=2)
    adapted = {name.split(".base_layer")[0] for name in pair.unet.state_dict() if ".base_layer" in name}
    layers = {
        name
        for name, layer in small_unet().named_modules()
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear) and "block" in name
    }
    assert adapted == layers


def test_a_saved_pair_is_made_again_from_its_files_and_member_a(pair: DenoiserPair, tmp_path: Path) -> None:
    expected = answers(pair)
    pair.save(tmp_path)
    unet = copy.deepcopy(pair.merged("average_a"))
    again = AdapterPair(unet, rank=2) if isinstance(pair, AdapterPair) else CopiedPair(unet)
    again.load(tmp_path)
    saved: dict[Weights | None, Weights | None] = {"member_a": "average_a", "member_b": "average_b"}
    for weights, answer in answers(again).items():
        torch.testing.assert_close(answer, expected[saved.get(weights, weights)], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("damage", ["removed", "of another network"])
def test_a_damaged_adapter_is_named(damage: str, tmp_path: Path) -> None:
    pair = AdapterPair(small_unet(), rank=2)
    pair.save(tmp_path)
    path = tmp_path / "adapters" / "b" / "adapter_model.safetensors"
    if damage == "removed":
        path.unlink()
    else:
        save_file({"conv.lora_A.weight": torch.zeros(2)}, path)
    with pytest.raises(MisuseError, match=r"adapters/b/adapter_model\.safetensors"):
        AdapterPair(small_unet(), rank=2).load(tmp_path)
