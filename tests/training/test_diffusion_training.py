"""Joint training of diffusion models."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from diffusers import DDIMPipeline, DDPMScheduler
from processes import REPOSITORY
from small_generators import save_stock_pipeline
from tiny import TINY_DIFFUSION, tiny_config

from synthdata.configuration import parse
from synthdata.data import load_images
from synthdata.errors import MisuseError
from synthdata.models import Diffusion, load_generator
from synthdata.training import JointConfig, train_joint
from synthdata.training.checkpoint import load_checkpoint, save_checkpoint
from synthdata.training.joint import JointTraining
from synthdata.training.train import build_training, new_generator


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A tiny run of both phases, and its report."""
    folder = tmp_path_factory.mktemp("diffusion") / "run"
    return folder, train_joint(tiny_config(folder, **TINY_DIFFUSION))


def test_a_diffusion_run_leaves_a_stock_pipeline_and_a_pair(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, report = finished
    assert "frechet_distance" in report
    pipeline = DDIMPipeline.from_pretrained(folder / "generator")
    assert pipeline(batch_size=2, num_inference_steps=4).images[0].size == (16, 16)
    generator = load_generator(folder / "generator")
    z = torch.randn(2, *generator.latent_shape)
    with torch.no_grad():
        assert not torch.equal(generator.sample(z, "a"), generator.sample(z, "b"))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["pre-training"] * 4 + ["joint"] * 6
    assert {"realism_a", "realism_b", "hardness", "similarity"} <= lines[4].keys()
    assert not any(key.startswith("critic") for line in lines for key in line)


def start(folder: Path, **changes: Any) -> JointTraining:
    config = tiny_config(folder, **TINY_DIFFUSION | changes)
    return build_training(config, load_images(config.data), Accelerator(cpu=True))


@pytest.mark.parametrize(("stop", "train"), [(2, "all"), (7, "lora")])
def test_a_resumed_diffusion_run_ends_with_the_bits_of_one_never_stopped(stop: int, train: str, tmp_path: Path) -> None:
    whole, first, second = (start(tmp_path / "run", generator__diffusion__train=train) for _ in range(3))
    for iteration in range(whole.iterations):
        whole.run(iteration)
    for iteration in range(stop):
        first.run(iteration)
    _, state = load_checkpoint(save_checkpoint(tmp_path / "checkpoints", stop, first.state_dict(), keep=1))
    second.load_state_dict(state)
    second.start_at(stop)
    for iteration in range(stop, second.iterations):
        second.run(iteration)
    assert whole.generator is not None
    assert second.generator is not None
    expected, found = whole.generator.state_dict(), second.generator.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_tuning_leaves_the_base_as_pretraining_left_it(tmp_path: Path) -> None:
    training = start(tmp_path / "run")
    generator = training.generator
    assert isinstance(generator, Diffusion)
    for iteration in range(training.plan.pretrain_steps):
        training.run(iteration)
    assert generator.average is not None
    averaged = [parameter.clone() for parameter in generator.average.parameters()]
    for iteration in range(training.plan.pretrain_steps, training.iterations):
        training.run(iteration)
    assert all(map(torch.equal, generator.pair.base_parameters(), averaged))


def test_a_stock_pipeline_is_tuned_without_pretraining(tmp_path: Path) -> None:
    gray = {"in_channels": 1, "out_channels": 1}
    stock = save_stock_pipeline(tmp_path / "stock", DDPMScheduler(), **gray)
    train_joint(tiny_config(tmp_path / "run", **TINY_DIFFUSION | {"generator__pretrained": stock, "train__steps": 2}))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase"] for line in lines] == ["joint", "joint"]
    DDIMPipeline.from_pretrained(tmp_path / "run" / "generator")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["makes 16-px images of 3 channels", "the data has 16 px and 1 channels"]),
        ({"generator__kind": "gan"}, ["of kind diffusion", "generator.kind"]),
    ],
)
def test_a_stock_pipeline_that_does_not_fit_is_named(changes: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    stock = save_stock_pipeline(tmp_path / "stock", DDPMScheduler())
    with pytest.raises(MisuseError) as caught:
        train_joint(tiny_config(tmp_path / "run", **TINY_DIFFUSION | {"generator__pretrained": stock} | changes))
    for word in [str(stock), *words]:
        assert word in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ([], "digits.yaml"),
        (["--generator.kind", "diffusion"], "digits-diffusion.yaml"),
        (["--generator.kind=diffusion", "--arm=hard"], "digits-diffusion.yaml"),
        (["--generator.kind=diffusion", "--data.source=imagefolder:photos"], None),
    ],
)
def test_the_recipe_has_digits_settings_for_each_kind_of_generator(arguments: list[str], file: str | None) -> None:
    recipe = runpy.run_path(str(REPOSITORY / "recipes" / "joint.py"))
    path = recipe["default_file"](arguments)
    assert (path and path.name) == file
    if path is not None:
        assert parse(JointConfig, "", [*arguments, "--config", str(path)]).data.source == "digits"


@pytest.mark.parametrize("name", ["digits-diffusion", "cifar10-diffusion", "cifar10-anchored", "unknown-views"])
def test_a_diffusion_configuration_makes_a_generator_for_its_images(name: str) -> None:
    config = parse(JointConfig, "", ["--config", str(REPOSITORY / "recipes" / "configs" / f"{name}.yaml")])
    generator = new_generator(config.generator, config.data.image_size, channels=3)
    assert (generator.kind, generator.image_size) == ("diffusion", config.data.image_size)
