"""What tuning did to a generator."""

import re
import runpy
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image
from processes import REPOSITORY
from small_generators import save_stock_pipeline
from tiny import TINY_DIFFUSION, tiny_config

from synthdata.benchmarks.tuning import STAGES, measure_tuning
from synthdata.errors import MisuseError
from synthdata.models import load_generator
from synthdata.training import train_joint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diffusion") / "run"
    train_joint(tiny_config(folder, **TINY_DIFFUSION))
    return folder


def test_a_generator_that_was_not_tuned_measures_the_same_before_and_after(finished: Path, tmp_path: Path) -> None:
    effect = measure_tuning(finished, load_generator(finished / "generator"), 80, CPU, tmp_path / "grid.png")
    assert list(effect.stages) == list(STAGES)
    assert effect.stages["before"] == effect.stages["after, member a"] != effect.stages["after, member b"]
    assert all(stage.hardness > 0 and 0 <= stage.under_floor <= 1 for stage in effect.stages.values())
    assert Image.open(tmp_path / "grid.png").size[0] > 200


def test_tuning_is_measured_against_a_generator_of_the_same_latents_only(finished: Path, tmp_path: Path) -> None:
    other = load_generator(save_stock_pipeline(tmp_path / "stock", DDPMScheduler()))
    with pytest.raises(MisuseError, match=r"latents of \(3, 16, 16\).*name the generator that this run began with"):
        measure_tuning(finished, other, 80, CPU)


def test_the_benchmark_prints_a_line_for_each_stage(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, grid = finished / "generator", tmp_path / "grid.png"
    recipe = runpy.run_path(str(REPOSITORY / "recipes" / "benchmark.py"))
    options = ["--run", str(finished), "--before", str(generator), "--samples", "64", "--grid", str(grid)]
    recipe["main"](["tuning", *options, "--device", "cpu"])
    printed = capsys.readouterr().out
    for name in STAGES:
        assert re.search(rf"^{name} +[\d.]+ +[\d.]+ +[\d.]+%$", printed, re.M)
    assert grid.exists()
