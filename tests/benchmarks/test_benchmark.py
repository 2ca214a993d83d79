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
from hub.samples import write_parquet, write_webdataset
from processes import REPOSITORY
from tiny import tiny_flags

from synthdata.models import Encoder

RECIPE = REPOSITORY / "recipes" / "benchmark.py"
CONFIGS = RECIPE.parent / "configs"
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
    config = {"data": {"source": "digits", "limit": 100}, "synthetic_views": {}, "train": {"temperature": 0.2}}
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


def test_training_is_told_beside_lightlys_loop(benchmark: Benchmark):
    shown = benchmark(
        "throughput", "--rounds=1", "--steps=1", "--workers=1", "--image_size=8", "--train.batch_size=4",
        "--encoder.width=4", "--encoder.hidden_dim=8",
    )  # fmt: skip
    ours, theirs = (
        float(re.search(rf"^{name} +([\d,]+) images/s$", shown, re.M)[1].replace(",", ""))  # type: ignore[index]
        for name in ("synthdata", "lightly, 1 workers")
    )
    ratio = float(re.search(r"^synthdata / lightly +([\d.]+)$", shown, re.M)[1])  # type: ignore[index]
    assert ratio == pytest.approx(ours / theirs, rel=0.2)


def test_reading_is_told_beside_plain_webdataset(benchmark: Benchmark, tmp_path: Path):
    shown = benchmark("reading", "--shards", write_webdataset(tmp_path / "tar"), "--rounds", "1")
    for name in ("synthdata, streaming", "synthdata, in memory", "webdataset"):
        assert re.search(rf"^{name} +[\d,]+ images/s$", shown, re.M)


def test_reading_parquet_beside_webdataset_is_misuse(
    benchmark: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="2"):
        benchmark("reading", "--shards", write_parquet(tmp_path / "parquet"))
    assert "holds Parquet, which webdataset does not read" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["headline", "profile"])
def test_a_preset_is_read_over_files_and_under_flags(
    verb: str, benchmark: Benchmark, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="0"):
        benchmark(verb, "--train.steps=7", "--print_config", "--preset", "smoke", "--config", CONFIGS / "digits.yaml")
    settings = yaml.safe_load(capsys.readouterr().out)
    flag, preset, file = settings["train"]["steps"], settings["train"]["batch_size"], settings["data"]["source"]
    assert (flag, preset, file) == (7, 64, "digits")


def test_profile_prints_the_phases_of_a_joint_step(benchmark: Benchmark, tmp_path: Path):
    shown = benchmark("profile", "--preset=smoke", "--rounds=1", *tiny_flags(tmp_path), "--peak_tflops=0.1")
    for words in ("views", "encoder forward", "encoder backward", "discriminator", "generator", "everything else"):
        assert re.search(rf"^{words} +[\d.]+ +[\d.]+ %$", shown, re.M)
    for words in ("images/s", "joint / inflate step", "peak memory", "MFU"):
        assert words in shown


def test_help_tells_what_each_verb_compares(benchmark: Benchmark):
    shown = benchmark("--help")
    for words in ("emission against the bare generator", "random views against kornia's", "--rows 2000"):
        assert words in shown


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("headline", ("budget_minutes", "--train.steps", "data efficiency")),
        ("profile", ("peak_tflops", "--train.steps")),
        ("throughput", ("peer", "--train.batch_size")),
        ("views", ("RGB images of a batch", "int, at least 1, default: 256", "kornia", "blur")),
        ("emission", ("rows of a turn", "runs/digits", "Memory is told")),
        ("reading", ("directory of a dataset", "plain webdataset")),
        ("tuning", ("generator.pretrained", "PNG")),
    ],
)
def test_help_of_a_verb_tells_its_settings(
    verb: str, words: tuple[str, ...], benchmark: Benchmark, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="0"):
        benchmark(verb, "--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith(f"usage: benchmark.py {verb} [--SETTING VALUE ...]")
    assert "Attributes" not in shown
    for word in words:
        assert word in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["veiws"], "there is no verb veiws; the nearest is views"),
        ([], "name a verb: headline, profile"),
        (["views", "--batch", "0"], "batch is 0: it must be at least 1"),
        (["views", "--batchsize", "1"], "no setting batchsize; the nearest is batch"),
        (["views", "--device", "abacus"], "device is abacus"),
        (["tuning"], "before"),
    ],
)
def test_what_cannot_be_measured_is_misuse(
    arguments: list[str], words: str, benchmark: Benchmark, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="2"):
        benchmark(*arguments)
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
