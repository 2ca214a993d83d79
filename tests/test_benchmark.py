"""The benchmark recipe as a user runs it, on next to nothing."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from emission.conftest import tiny_gan

from synthdata.models import Encoder

RECIPE = Path(__file__).parents[1] / "recipes" / "benchmark.py"
Benchmark = Callable[..., str]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Benchmark:
    """Run the recipe in this process, since importing everything anew takes long; gives what it prints."""

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr("sys.argv", [str(RECIPE), *map(str, arguments)])
        runpy.run_path(str(RECIPE), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_emission_is_told_beside_the_bare_generator(benchmark: Benchmark, tmp_path: Path):
    config = {"data": {"limit": 100}, "synthetic_views": {}, "train": {"temperature": 0.2}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    tiny_gan().save_pretrained(tmp_path / "generator")
    torch.manual_seed(0)
    Encoder("resnet8", 16, 1, width=4, hidden_dim=16, projection_dim=8).save_pretrained(tmp_path / "encoder")
    shown = benchmark("emission", "--run", tmp_path, "--rows", "16", "--repeats", "1", "--device", "cpu")
    numbers = {
        name: float(re.search(rf"^{name}\D+([\d,.]+)", shown, re.M)[1].replace(",", ""))  # type: ignore[index]
        for name in ("generator, bare forward", "emission  ", "emission / generator", r"peak RSS at 16 rows:")
    }
    generator, emission, ratio, peak = numbers.values()
    assert ratio == pytest.approx(emission / generator, abs=0.01)
    assert 50 < peak < 10_000


def test_views_are_compared_with_other_libraries(benchmark: Benchmark):
    pytest.importorskip("kornia")
    shown = benchmark("views", "--batch", "4", "--image_size", "8", "--rounds", "1", "--device", "cpu", "--blur")
    assert re.search(r"^synthdata +[\d.]+ +[\d.]+$", shown, re.M)
    assert re.search(r"^kornia, crops by slicing +[\d.]+ +[\d.]+$", shown, re.M)
    assert re.search(r"^torchvision, image by image +[\d.]+ *$", shown, re.M)


def test_without_kornia_one_line_says_how_to_get_it(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "kornia.augmentation", None)
    with pytest.raises(SystemExit, match="2"):
        benchmark("views", "--rounds", "1", "--device", "cpu")
    needed = "error: comparing views needs kornia, which is not installed: pip install kornia"
    assert capsys.readouterr().err.splitlines() == [needed]


def test_a_run_that_is_not_there_is_misuse(benchmark: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        benchmark("emission", "--run", tmp_path / "absent")
    assert "absent holds no config.yaml" in capsys.readouterr().err


def test_help_tells_what_each_part_compares(benchmark: Benchmark, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="0"):
        benchmark("--help")
    shown = capsys.readouterr().out
    for words in ("emission against the generator's bare forward pass", "random views against kornia's", "--rows 2000"):
        assert words in shown
