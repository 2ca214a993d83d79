"""Comparisons of emitted datasets on tiny runs."""

import json
import os
import re
import runpy
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from emission.conftest import write_run
from processes import REPOSITORY, ForkedRecipe, Running, wait_for

from synthdata.comparison import Comparison
from synthdata.configuration import parse
from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.errors import MisuseError
from synthdata.training.checkpoint import latest_checkpoint, step_of
from synthdata.training.compare import CompareConfig, compare, plan_jobs, ways_of

DIGITS = REPOSITORY / "recipes" / "configs" / "contrast" / "digits.yaml"
MEASURES = ["linear_top1", "knn_top1", "linear_12_labels_top1", "linear_120_labels_top1"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    output = folder / "synthetic"
    emit(EmissionConfig(run=str(write_run(folder / "run")), output=str(output), hard=16, pairs=16, shard_size=16))
    return output


def flags(shards: Path | str, output: Path, **changes: Any) -> list[str]:
    settings = {
        "shards": shards,
        "output": output,
        "data.source": "digits",
        "seeds": 1,
        "encoder.width": 4,
        "encoder.hidden_dim": 8,
        "encoder.projection_dim": 4,
        "train.steps": 4,
        "train.batch_size": 16,
        "evaluation.limit": 150,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"--{key}={value}" for key, value in settings.items()]


def config(shards: Path | str, output: Path, **changes: Any) -> CompareConfig:
    return parse(CompareConfig, "", flags(shards, output, **changes), default_file=DIGITS)


def compared(settings: CompareConfig) -> Comparison:
    result = compare(settings)
    assert result is not None
    return result[0]


@pytest.fixture(scope="module")
def finished(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CompareConfig, Comparison]:
    settings = config(shards, tmp_path_factory.mktemp("finished") / "out", limits="[40,80]", synthetic_only=True)
    return settings, compared(settings)


def test_every_way_is_trained_on_every_number_of_images(finished: tuple[CompareConfig, Comparison]) -> None:
    _, comparison = finished
    found = [(run.way, run.images, run.seed) for run in comparison.runs]
    real = [("real", 40, 0), ("real", 80, 0)]
    assert found == [*real, ("real + synthetic", 40, 0), ("real + synthetic", 80, 0), ("synthetic alone", 0, 0)]
    assert list(comparison.measures) == MEASURES
    assert all(list(run.scores) == MEASURES for run in comparison.runs)


def test_shards_in_a_store_give_the_scores_of_shards_on_this_machine(
    finished: tuple[CompareConfig, Comparison], shards: Path, tmp_path: Path
) -> None:
    _, here = finished
    fsspec.filesystem("memory").put(str(shards), "/compared/synthetic", recursive=True)
    there = compared(config("memory://compared/synthetic", tmp_path / "out", limits="[40]", synthetic_only=True))
    assert there.runs == [run for run in here.runs if run.images != 80]


def test_trainings_are_alike_but_for_what_is_compared(finished: tuple[CompareConfig, Comparison]) -> None:
    settings, _ = finished
    reports = {
        path.parent.name: json.loads(path.read_text()) for path in Path(settings.output).glob("runs/*/report.json")
    }
    assert {(report["steps"], report["images_seen"]) for report in reports.values()} == {(4, 64)}
    assert {name: (report["real_images"], report["synthetic_share"]) for name, report in reports.items()} == {
        "real-40-images-seed-0": (40, 0.0),
        "real-80-images-seed-0": (80, 0.0),
        "real-synthetic-40-images-seed-0": (40, 0.5),
        "real-synthetic-80-images-seed-0": (80, 0.5),
        "synthetic-alone-0-images-seed-0": (1197, 1.0),
    }


def test_finished_runs_are_kept_and_new_ones_added(finished: tuple[CompareConfig, Comparison]) -> None:
    settings, before = finished
    reports = {path: path.stat().st_mtime_ns for path in Path(settings.output).glob("runs/*/report.json")}
    after = compared(replace(settings, limits=[40, 80, 100], synthetic_only=False, mix="adainf"))
    assert {path: path.stat().st_mtime_ns for path in reports} == reports
    kept = [run for run in before.runs if run.way != "synthetic alone"]
    assert [run for run in after.runs if run in kept] == kept
    assert {(run.way, run.images) for run in after.runs if run not in kept} == {
        ("real", 100),
        ("real + synthetic", 100),
        *(("real, weaker views", images) for images in (40, 80, 100)),
        *(("real + synthetic (AdaInf)", images) for images in (40, 80, 100)),
    }
    runs = Path(settings.output) / "runs"
    real, weaker, adainf = (
        yaml.safe_load((runs / f"{way}-40-images-seed-0" / "config.yaml").read_text())
        for way in ("real", "real-weaker-views", "real-synthetic-AdaInf")
    )
    assert real["views"] == adainf["views"] != weaker["views"] == weaker["synthetic_views"] == adainf["synthetic_views"]
    assert adainf["mix"] == "adainf"


def test_the_recipe_leaves_tables_and_plots(
    finished: tuple[CompareConfig, Comparison],
    shards: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Path(finished[0].output)
    recipe = REPOSITORY / "recipes" / "compare.py"
    given = flags(shards, output, limits="[40,80]", synthetic_only=True, tell_cards=True)
    monkeypatch.setattr("sys.argv", [str(recipe), *given])
    runpy.run_path(str(recipe), run_name="__main__")
    shown = capsys.readouterr().out
    report = (output / "report.md").read_text()
    assert shown.startswith(report)
    assert "| real + synthetic | 80 | 1 |" in report
    assert "Data efficiency" in report
    content = json.loads((output / "report.json").read_text())
    assert (content["steps"], content["source"], len(content["runs"])) == (4, "digits", 5)
    assert {path.name for path in output.glob("*.png")} == {
        "comparison.png",
        *(f"efficiency-{measure.removesuffix('_top1')}.png" for measure in MEASURES),
    }
    reach = content["label_reach"]
    assert (reach["images"], reach["held_out_images"], reach["features"]) == (160, 600, 16)
    assert reach["ways"].keys() == {"real", "real + synthetic", "synthetic alone"}
    card = (shards / "README.md").read_text()
    assert f"expresses {100 * reach['ways']['real + synthetic']['reach']['mean']:.1f} % of the variance" in card
    page = output / "index.html"
    assert f"{page}\n" in shown
    assert "real + synthetic, 80 images" in page.read_text()
    page.unlink()
    monkeypatch.setattr("sys.argv", [str(recipe), *given, "--page=false"])
    runpy.run_path(str(recipe), run_name="__main__")
    assert not page.exists()


def test_finished_runs_leave_no_checkpoints(finished: tuple[CompareConfig, Comparison]) -> None:
    assert not list(Path(finished[0].output).rglob("checkpoints"))


def test_an_interrupted_comparison_goes_on_to_the_scores_of_one_never_interrupted(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"train__steps": 40, "checkpoint__every": 5, "train__log_every": 1}
    process = ForkedRecipe("compare", flags(shards, tmp_path / "cut", **changes))
    metrics = tmp_path / "cut" / "runs" / "real-1197-images-seed-0" / "metrics.jsonl"
    _wait_for_lines(metrics, 10, process)
    os.kill(process.pid, signal.SIGTERM)
    code, _, error = wait_for(process)
    assert code == 143
    assert error.splitlines()[-1].endswith("stopped and saved; run the same command again to go on")
    assert not (metrics.parent / "report.json").exists()
    settings = config(shards, tmp_path / "cut", **changes)
    whole = compared(replace(settings, output=str(tmp_path / "whole")))
    steps = bars(capsys.readouterr().err)
    assert (steps[0], steps[-1], {total for _, total in steps}) == ((0, 80), (80, 80), {80})
    checkpoint = latest_checkpoint(metrics.parent / "checkpoints")
    assert checkpoint is not None
    assert compared(settings).runs == whole.runs
    shown = capsys.readouterr().err
    assert (bars(shown)[0], bars(shown)[-1]) == ((step_of(checkpoint), 80), (80, 80))
    assert re.search(r"\[2/2\] real \+ synthetic.*\[\d\d:\d\d<\d\d:\d\d, .*step/s", shown)  # the time that is left
    iterations = [json.loads(line)["iteration"] for line in metrics.read_text().splitlines()]
    assert iterations == list(range(40))


def bars(shown: str) -> list[tuple[int, int]]:
    """The states of a progress bar: what is done, of what."""
    return [(int(done), int(total)) for done, total in re.findall(r"\| (\d+)/(\d+) \[", shown)]


def _wait_for_lines(path: Path, count: int, process: Running) -> None:
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_text().count("\n") >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} has fewer than {count} lines")


def test_datasets_of_one_name_are_told_apart_by_their_paths() -> None:
    names = [way.name for way in ways_of(CompareConfig(shards=["a/x", "b/x"]))]
    assert names == ["real", "real + a/x", "real + b/x"]
    assert len({job.folder for job in plan_jobs(CompareConfig(shards=["a/x", "b/x"]), 100)}) == 9


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--shards=[]", "nothing to compare"),
        ("--shards=absent", "absent is no folder"),
        ("--shards=[{shards},{shards}]", "names a dataset twice"),
        ("--limits=5000", "5,000 real images, and digits has 1,197"),
        ("--limits=10", "10 real images are fewer than train.batch_size 16"),
        ("--data.image_size=32", "images of 16 px, not 32"),
        ("--evaluation.limit=100", "evaluation.limit is 100, and a low-label probe needs 120 labels"),
    ],
)
def test_misuse_is_told_before_anything_is_trained(shards: Path, tmp_path: Path, flag: str, told: str) -> None:
    given = [*flags(shards, tmp_path / "out"), flag.format(shards=shards)]
    with pytest.raises(MisuseError, match=told):
        compare(parse(CompareConfig, "", given))
    assert not (tmp_path / "out").exists()


def test_runs_with_other_settings_are_not_mixed_in(finished: tuple[CompareConfig, Comparison]) -> None:
    settings, _ = finished
    with pytest.raises(MisuseError, match=r"holds a run with train\.steps 4, not 5"):
        compare(replace(settings, train=replace(settings.train, steps=5)))
