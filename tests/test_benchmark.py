"""The benchmark recipe as a user runs it, on next to nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from emission.conftest import tiny_gan

from synthdata.models import Encoder

REPOSITORY = Path(__file__).parents[1]
WITHOUT_KORNIA = "import sys, runpy; sys.modules['kornia'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


def benchmark(*arguments: str | Path, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *prefix, str(REPOSITORY / "recipes" / "benchmark.py"), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_emission_is_told_beside_the_bare_generator(tmp_path: Path):
    config = {"data": {"limit": 100}, "synthetic_views": {}, "train": {"temperature": 0.2}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    tiny_gan().save_pretrained(tmp_path / "generator")
    torch.manual_seed(0)
    Encoder("resnet8", 16, 1, width=4, hidden_dim=16, projection_dim=8).save_pretrained(tmp_path / "encoder")
    shown = benchmark("emission", "--run", tmp_path, "--rows", "16", "--repeats", "1", "--device", "cpu")
    assert shown.returncode == 0, shown.stderr
    numbers = {
        name: float(re.search(rf"^{name}\D+([\d,.]+)", shown.stdout, re.M)[1].replace(",", ""))  # type: ignore[index]
        for name in ("generator, bare forward", "emission  ", "emission / generator", r"peak RSS at 16 rows:")
    }
    generator, emission, ratio, peak = numbers.values()
    assert ratio == pytest.approx(emission / generator, abs=0.01)
    assert 50 < peak < 10_000


def test_views_are_compared_with_other_libraries():
    pytest.importorskip("kornia")
    shown = benchmark("views", "--batch", "4", "--image_size", "8", "--rounds", "1", "--device", "cpu", "--blur")
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^synthdata +[\d.]+ +[\d.]+$", shown.stdout, re.M)
    assert re.search(r"^kornia, crops by slicing +[\d.]+ +[\d.]+$", shown.stdout, re.M)
    assert re.search(r"^torchvision, image by image +[\d.]+ *$", shown.stdout, re.M)


def test_without_kornia_one_line_says_how_to_get_it():
    shown = benchmark("views", "--rounds", "1", "--device", "cpu", prefix=("-c", WITHOUT_KORNIA))
    assert shown.returncode == 2
    assert (
        shown.stderr.splitlines()[-1]
        == "error: comparing views needs kornia, which is not installed: pip install kornia"
    )


def test_a_run_that_is_not_there_is_misuse(tmp_path: Path):
    shown = benchmark("emission", "--run", tmp_path / "absent")
    assert shown.returncode == 2
    assert "absent holds no config.yaml" in shown.stderr.splitlines()[-1]
