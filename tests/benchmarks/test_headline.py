"""The table of all arms, worked off in slices."""

import itertools
import json
import runpy
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from PIL import Image
from processes import REPOSITORY, ForkedRecipe, wait_for
from safetensors.torch import load_file
from tiny import tiny_flags

from synthdata.benchmarks.headline import (
    GENERATOR,
    HeadlineArm,
    HeadlineConfig,
    Job,
    job_config,
    plan_jobs,
    run_headline,
)
from synthdata.configuration import parse
from synthdata.errors import MisuseError
from synthdata.training.config import GeneratorConfig
from synthdata.training.plan import Plan

SHORT = {"arms": "[real,both]", "seeds": 1, "fractions": "[]", "train__log_every": 2}
"""Three trainings of a second: two arms and a generator."""


def headline_flags(output: Path, **changes: Any) -> list[str]:
    settings = SHORT | {"output": output} | changes
    return [flag for flag in tiny_flags(output, **settings) if not flag.startswith("--output_dir")]


def headline_config(output: Path, **changes: Any) -> HeadlineConfig:
    return parse(HeadlineConfig, "", headline_flags(output, **changes))


def encoders(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*/encoder/model.safetensors"))
    return {f"{file.parts[-3]}:{name}": value for file in files for name, value in load_file(file).items()}


def measured(folder: Path) -> dict[str, Any]:
    """What table.json says, without what no two runs agree on."""
    table = json.loads((folder / "table.json").read_text())
    return table | {
        "runs": [{name: value for name, value in row.items() if name != "minutes"} for row in table["runs"]],
        "generators": len(table["generators"]),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A table made in one call, and what the call prints."""
    folder = tmp_path_factory.mktemp("whole") / "table"
    outcome = run_headline(headline_config(folder))
    assert outcome.exit_code == 0
    return folder, outcome.text


def test_slices_stop_in_time_and_come_to_the_table_of_one_call(
    whole: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    clock = SimpleNamespace(
        monotonic=lambda: 10.0 * next(looks), perf_counter=time.perf_counter, process_time=time.process_time
    )
    for module in ("benchmarks.headline", "training.loop"):
        monkeypatch.setattr(f"synthdata.{module}.time", clock)
    config, slices = headline_config(tmp_path / "table", budget_minutes=100 / 60), 0
    text = ""
    while "Next: " in text or not slices:
        began = clock.monotonic()
        text = run_headline(config).text
        assert clock.monotonic() - began <= 100 + 20  # ours are two looks more
        slices += 1
        assert slices < 30
    assert slices > 1
    assert measured(tmp_path / "table") == measured(whole[0])
    expected, found = encoders(whole[0]), encoders(tmp_path / "table")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_signal_ends_the_call_with_the_table_so_far_and_the_next_one_goes_on(
    whole: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "table"
    defaults = tmp_path / "defaults.yaml"
    defaults.write_text("{}")
    process = ForkedRecipe("benchmark", ["headline", "--config", str(defaults), *headline_flags(folder)])
    deadline = time.monotonic() + 200
    first = folder / "real-128-images-seed-0" / "report.json"
    while process.poll() is None and time.monotonic() < deadline and not first.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    exit_code, _, error = wait_for(process)
    assert exit_code == 128 + signal.SIGTERM, error
    assert "Traceback" not in error
    assert "3 of 3 trainings are finished" in run_headline(headline_config(folder)).text
    assert measured(folder) == measured(whole[0])


def test_the_recipe_leaves_a_page_of_the_table(whole: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, folder = REPOSITORY / "recipes" / "benchmark.py", whole[0]
    (folder.parent / "defaults.yaml").write_text("{}")
    flags = ["headline", "--config", str(folder.parent / "defaults.yaml"), *headline_flags(folder)]
    monkeypatch.setattr("sys.argv", [str(recipe), *flags])
    runpy.run_path(str(recipe), run_name="__main__")
    table, page = json.loads((folder / "table.json").read_text()), (folder / "index.html").read_text()
    for run in table["runs"]:
        assert f'data-value="{run["scores"]["linear_top1"]}"' in page


def test_the_table_has_scores_and_gains(whole: tuple[Path, str]) -> None:
    folder, text = whole
    assert (folder / "table.md").read_text() == text + "\n"
    reports = {
        arm: json.loads((folder / f"{arm}-128-images-seed-0/report.json").read_text()) for arm in ("real", "both")
    }
    scores, gains = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| both |")
    )
    gain = reports["both"]["linear_top1"] - reports["real"]["linear_top1"]
    assert scores[2:5] == ["1", f"{reports['both']['linear_top1']:.2f}", f"{reports['both']['knn_top1']:.2f}"]
    assert gains[2] == f"{gain:+.2f} ({int(gain > 0)} of 1)"
    assert "3 of 3 trainings are finished" in text


def test_a_finished_table_is_printed_again_at_once(whole: tuple[Path, str]) -> None:
    assert run_headline(headline_config(whole[0])).text == whole[1]


def test_finished_trainings_leave_no_checkpoints(whole: tuple[Path, str]) -> None:
    assert not list(whole[0].glob("*/checkpoints"))


def test_another_setting_in_the_same_folder_is_named(whole: tuple[Path, str]) -> None:
    with pytest.raises(MisuseError, match=r"train\.steps 6, not 7"):
        run_headline(headline_config(whole[0], train__steps=7))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arm": "hard"}, "choose them with --arms"),
        ({"arms": "[real,anchored]"}, "arms has anchored, and generator.kind is gan: set it to diffusion"),
        ({"arms": "[real,noisy_views]", "views__noise_probability": 0.5}, "arms has noisy_views, and all views have"),
        ({"data__exclude": "[3]"}, "data.exclude is set"),
        ({"generator__pretrained": "{flat}"}, "flat holds"),
        ({"data__source": "imagefolder:{flat}", "data__limit": 30}, "has no labels"),
    ],
)
def test_what_a_table_cannot_use_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    (tmp_path / "flat").mkdir()
    for i in range(60):
        Image.new("L", (16, 16), i).save(tmp_path / "flat" / f"{i}.png")
    changes = {name: str(value).format(flat=tmp_path / "flat") for name, value in changes.items()}
    with pytest.raises(MisuseError, match=words):
        run_headline(headline_config(tmp_path / "table", **changes))
    assert not (tmp_path / "table").exists()


def test_the_first_seed_of_all_arms_comes_first_and_the_data_efficiency_last() -> None:
    jobs = plan_jobs(HeadlineConfig(seeds=2, seed=5, fractions=[0.5, 0.1]), images=1000)
    assert [(job.arm, job.seed, job.images) for job in jobs[:8]] == [
        (arm, 5, 1000) for arm in ("real", GENERATOR, "inflate", "adainf", "hard", "pairs", "both")
    ] + [("real", 6, 1000)]
    assert [(job.arm, job.images) for job in jobs[14:17]] == [("real", 100), (GENERATOR, 100), ("both", 100)]
    assert len(set(jobs)) == len(jobs) == 14 + 2 * 2 * 3


def test_all_arms_of_a_seed_take_equal_encoder_steps_and_start_from_one_generator() -> None:
    config = HeadlineConfig(output="table", generator=GeneratorConfig(kind="diffusion"))
    configs = [job_config(config, Job(arm, 3, 500)) for arm in get_args(HeadlineArm)]
    plans = [Plan.of(run, world_size=1) for run in configs]
    assert {(plan.steps, plan.images, plan.pretrain_steps) for plan in plans} == {(1000, 128_000, 0)}
    assert {run.generator.pretrained for run in configs[3:]} == {f"table/{GENERATOR}-500-images-seed-3/generator"}
    assert {(run.seed, run.data.limit) for run in configs} == {(3, 500)}
    views = {arm: plan.third_view for arm, plan in zip(get_args(HeadlineArm), plans, strict=True)}
    assert [arm for arm, third in views.items() if third] == ["three_views", "anchored"]
    noisy = {arm: run.views.noise_probability for arm, run in zip(get_args(HeadlineArm), configs, strict=True)}
    assert {arm for arm, probability in noisy.items() if probability} == {"noisy_views"}


def test_every_arm_of_every_seed_starts_from_a_generator_that_is_given() -> None:
    config = HeadlineConfig(seeds=2, fractions=[0.5], generator=GeneratorConfig(pretrained="stock"))
    jobs = plan_jobs(config, images=1000)
    assert GENERATOR not in {job.arm for job in jobs}
    assert {job_config(config, job).generator.pretrained for job in jobs} == {"stock"}


def test_adainf_is_inflate_with_weak_views_of_all_images_and_two_thirds_of_them_synthetic() -> None:
    config = HeadlineConfig(output="table", views=replace(HeadlineConfig().views, flip_probability=0.0))
    inflate, adainf = (job_config(config, Job(arm, 0, 500)) for arm in ("inflate", "adainf"))
    assert adainf.arm == inflate.arm == "inflate"
    assert (adainf.views.crop_scale, adainf.views.jitter_probability) == ((0.2, 1.0), 0.4)
    assert (adainf.views.flip_probability, adainf.synthetic.share) == (0.0, 2 / 3)
    assert inflate.views == config.views


@pytest.mark.parametrize(("split", "tested"), [("test", True), ("validation", False)])
def test_the_test_split_is_left_alone_while_settings_are_chosen(split: str, tested: bool) -> None:
    config = HeadlineConfig(split=split)  # type: ignore[arg-type]
    assert job_config(config, Job("both", 0, 500)).evaluation.test is tested
