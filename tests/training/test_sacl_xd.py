"""A slim encoder trained within its host: what each branch teaches, when channels change, and what is left."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import TwoProcesses
from safetensors.torch import load_file
from tiny import tiny_config
from torch import Tensor

from synthdata.configuration import parse
from synthdata.data import load_images
from synthdata.models import Encoder, cost_of, synchronise_batch_norm
from synthdata.rng import generator_at
from synthdata.training import ContrastConfig, train_contrast, train_joint
from synthdata.training.acceleration import compile_networks
from synthdata.training.contrast_config import MethodConfig
from synthdata.training.execution import start_accelerator
from synthdata.training.methods import SACLXD, BarlowTwins
from synthdata.training.optimisation import encoder_optimizer, step_optimizer
from synthdata.training.train import build_training

SETTINGS = MethodConfig(slim_warmup=0.0, slim_every=2, distillation=0.2)


def method_of(settings: MethodConfig = SETTINGS, dtype: torch.dtype = torch.float32) -> SACLXD:
    torch.manual_seed(0)
    encoder = Encoder("resnet8", image_size=8, channels=1, width=8, hidden_dim=16, projection_dim=8)
    return SACLXD(encoder.to(dtype), settings, temperature=0.2)


def views(step: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    images = torch.rand(16, 1, 8, 8, generator=generator_at("images")) * 2 - 1
    noise = 0.3 * torch.randn(2, *images.shape, generator=generator_at("noise", step))
    view_1, view_2 = (images + noise).to(dtype)
    return view_1, view_2


def train(method: SACLXD, steps: range, of: int = 40) -> list[float]:
    optimizer = encoder_optimizer(method, "adamw", 1e-2, 0.0)
    losses = []
    for step in steps:
        loss = method.loss(*views(step))
        loss.backward()
        step_optimizer(optimizer, 1e-2)
        method.after_step((step + 1) / of)
        losses.append(loss.item())
    return losses


def gradients(method: SACLXD, embedding: Tensor) -> dict[str, Tensor]:
    method.zero_grad()
    (embedding * torch.arange(embedding.numel()).view_as(embedding)).sum().backward()
    return {name: weight.grad for name, weight in method.encoder.named_parameters() if weight.grad is not None}


def test_removed_filters_learn_from_the_host_alone() -> None:
    method = method_of(replace(SETTINGS, distillation=0.0))
    channels, kept = method.encoder.tied_channels(), method.slim.kept
    host, slim = method.embed(*views(0))
    from_host, from_slim = gradients(method, host), gradients(method, slim)
    for name, weight in method.encoder.named_parameters():
        for axis in channels.axes.get(name, ()):
            removed = torch.ones(weight.shape[axis.axis], dtype=torch.bool)
            removed[axis.positions(kept[axis.group], channels.sizes[axis.group])] = False
            assert not from_slim[name].transpose(0, axis.axis)[removed].any(), name
            assert from_slim[name].transpose(0, axis.axis)[~removed].any(), name
            assert from_host[name].transpose(0, axis.axis)[removed].any(), name


def test_a_slim_part_that_keeps_everything_is_the_host() -> None:
    method = method_of(replace(SETTINGS, slim_ratio=1.0))
    host_1, _, slim_1, host_2 = method.embed(*views(0))
    torch.testing.assert_close(slim_1, host_1)
    assert not host_2.requires_grad
    standard = (host_1 - host_1.mean(0)) / host_1.std(0, correction=0)
    torch.testing.assert_close(
        (standard * slim_1).mean(0) / slim_1.std(0, correction=0), torch.ones(8), rtol=1e-3, atol=0
    )


def test_without_slimming_and_distillation_it_is_barlow_twins() -> None:
    # Barlow Twins normalises both views as one batch: equal views make that one and the same.
    method = method_of(replace(SETTINGS, slim_ratio=1.0, distillation=0.0))
    twins = BarlowTwins(copy.deepcopy(method.encoder), MethodConfig(), 0.2)
    view, _ = views(0)
    assert method.loss(view, view).item() == pytest.approx(twins.loss(view, view).item(), rel=1e-3)


@pytest.mark.parametrize("form", ["base", "log"])
def test_distillation_has_the_gradient_of_its_formula_with_fixed_targets(form: Any) -> None:
    settings = replace(SETTINGS, distillation=1.0, distillation_loss=form)
    method = method_of(settings, torch.float64)
    shown = views(0, torch.float64)
    host_1, slim_2, slim_1, host_2 = method.embed(*shown)
    assert not slim_1.requires_grad
    assert not host_2.requires_grad
    method.objective(host_1, slim_2, slim_1, host_2).backward()
    for name in ("backbone.stages.1.conv1.weight", "backbone.stem.1.bias", "projection_head.0.weight"):
        weight = method.encoder.get_parameter(name)
        assert weight.grad is not None
        place, step = int(weight.grad.abs().argmax()), 1e-6
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.view(-1)[place] += sign * step
                moved_1, moved_2, _, _ = method.embed(*shown)
                ends.append(float(method.objective(moved_1, moved_2, slim_1, host_2)))
                weight.view(-1)[place] -= sign * step
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(weight.grad.view(-1)[place]), rel=1e-3)


def test_targets_leave_batch_statistics_as_they_are() -> None:
    method = method_of()
    before = copy.deepcopy(method.state_dict())
    method.slim.project_quietly(method.encoder, views(0)[0])
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_network_that_is_saved_follows_the_hosts_weights() -> None:
    method = method_of()
    train(method, range(3))
    slim = method.encoders()["encoder"]
    expected = method.encoder.tied_channels().select(dict(method.encoder.named_parameters()), method.slim.kept)
    for name, weight in slim.named_parameters():
        assert torch.equal(weight, expected[name]), name
    assert cost_of(slim).operations < 0.5 * cost_of(method.encoder).operations


def test_channels_are_chosen_after_the_warm_up_then_now_and_then_and_not_at_the_end() -> None:
    method = method_of(replace(SETTINGS, slim_warmup=0.25, slim_every=4))
    chosen, taking_part = [], []
    for step in range(20):
        train(method, range(step, step + 1), of=20)
        taking_part.append(method.slim.active)
        if overlap := method.measured():
            chosen.append(step + 1)
            assert 0 < overlap["slim_overlap"] <= 1
    assert taking_part.index(True) == 4
    assert chosen == [5, 8, 12]  # none in the last quarter, from 16 of 20 on


def test_channels_that_are_chosen_are_those_of_largest_norm_then() -> None:
    method = method_of()
    with torch.no_grad():
        method.encoder.backbone.stages[1].conv1.weight[:8] = 0
    train(method, range(1))
    assert method.slim.kept["stages.1.conv1"].tolist() != list(range(8, 16))
    method.slim.steps += 2 - method.slim.steps % 2 - 1
    with torch.no_grad():
        method.encoder.backbone.stages[1].conv1.weight[:8] = 0
    method.after_step(0.5)
    assert method.slim.kept["stages.1.conv1"].tolist() == list(range(8, 16))


def channels_after_training(rank: int, world_size: int = 2) -> dict[str, Tensor]:
    method = method_of()
    method.double()
    synchronise_batch_norm(method, torch.device("cpu"))
    optimizer = encoder_optimizer(method, "sgd", 0.05, 0.0)
    for step in range(5):
        method.loss(*(view.chunk(world_size)[rank] for view in views(step, torch.float64))).backward()
        step_optimizer(optimizer, 0.05)
        method.after_step((step + 1) / 40)
    return method.slim.kept


def test_processes_keep_the_channels_that_one_process_keeps(two_processes: TwoProcesses) -> None:
    expected = channels_after_training(0, world_size=1)
    for found in two_processes.run(channels_after_training):
        for group, kept in expected.items():
            assert torch.equal(found[group], kept), group


@pytest.mark.parametrize("base", ["barlow", "nt_xent"])
def test_compiled_and_bfloat16_networks_have_nearly_the_loss_of_plain_ones(base: Any) -> None:
    settings = replace(SETTINGS, base=base)
    plain, compiled, low = (method_of(settings) for _ in range(3))
    for network in compiled.encoders().values():
        compile_networks(network, None, torch.device("cpu"), backend="aot_eager")
    low.autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16)
    expected = train(plain, range(3))
    assert train(compiled, range(3)) == pytest.approx(expected, rel=1e-3)
    # later ones differ by what an optimiser makes of rounding
    assert train(low, range(1)) == pytest.approx(expected[:1], rel=0.05)


def config_of(folder: Path, **changes: Any) -> ContrastConfig:
    flags = {
        "data.source": "digits", "data.image_size": 8, "data.limit": 64, "method": "sacl_xd", "output_dir": folder,
        "encoder.width": 8, "encoder.hidden_dim": 16, "encoder.projection_dim": 8, "train.batch_size": 8,
        "train.steps": 8, "train.log_every": 1, "checkpoint.every": 5, "method_settings.slim_every": 3,
        "evaluation.limit": 200, "evaluation.labels": [],
    } | changes  # fmt: skip
    return parse(ContrastConfig, "", [f"--{name}={value}" for name, value in flags.items()])


def test_a_run_leaves_the_slim_encoder_and_the_host_and_resumes_bit_by_bit(tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    report = train_contrast(config_of(whole))
    assert report.keys() >= {"linear_top1", "host_linear_top1", "knn_top1", "host_knn_top1"}
    slim, host = (Encoder.from_pretrained(whole / name) for name in ("encoder", "host"))
    assert cost_of(slim).parameters < 0.3 * cost_of(host).parameters
    assert host.feature_dim == 2 * slim.feature_dim
    shutil.copytree(whole, resumed)
    for made in ("encoder", "host", "curves", "checkpoints/step-000000008"):
        shutil.rmtree(resumed / made)
    (resumed / "report.json").unlink()
    train_contrast(config_of(resumed, resume="true"))
    assert (resumed / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    for name in ("encoder", "host"):
        expected = load_file(whole / name / "model.safetensors")
        for key, value in load_file(resumed / name / "model.safetensors").items():
            assert torch.equal(value, expected[key]), key


def test_the_joint_loop_trains_a_slim_encoder_too(tmp_path: Path) -> None:
    changes = {
        "train__objective": "sacl_xd",
        "encoder__width": 8,
        "slimming__slim_every": 2,
        "slimming__slim_warmup": 0.0,
    }
    report = train_joint(tiny_config(tmp_path / "run", arm="both", **changes))
    assert report.keys() >= {"linear_top1", "host_linear_top1"}
    slim, host = (Encoder.from_pretrained(tmp_path / "run" / name) for name in ("encoder", "host"))
    assert host.feature_dim == 2 * slim.feature_dim
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any("slim_overlap" in line for line in lines)


def test_a_joint_training_with_a_slim_encoder_goes_on_from_its_state(tmp_path: Path) -> None:
    changes = {"train__objective": "sacl_xd", "encoder__width": 8, "slimming__slim_every": 2, "arm": "real"}
    config = tiny_config(tmp_path, **changes)
    data = load_images(config.data)
    whole, resumed = (build_training(config, data, start_accelerator(config)) for _ in range(2))
    for iteration in range(3):
        whole.run(iteration)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    resumed.start_at(3)
    for iteration in range(3, 6):
        assert resumed.run(iteration) == whole.run(iteration)
    for name, value in whole.method.encoders()["encoder"].state_dict().items():
        assert torch.equal(resumed.method.encoders()["encoder"].state_dict()[name], value), name
