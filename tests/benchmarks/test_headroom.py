"""What perfect positives and more images would give: trainings beside each other, and the verdict on them."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from processes import REPOSITORY

from synthdata.benchmarks.headroom import (
    HeadroomConfig,
    HeadroomJob,
    OracleTraining,
    Positives,
    headroom_jobs,
    headroom_verdict,
    run_config,
    run_headroom,
)
from synthdata.comparison import Comparison, Trained
from synthdata.configuration import parse
from synthdata.data import load_images
from synthdata.errors import MisuseError
from synthdata.objectives import multi_positive_nt_xent, nt_xent


def flags(folder: Path, **changes: Any) -> list[str]:
    settings = {
        "data.source": "digits", "data.image_size": 8, "encoder.width": 4, "encoder.hidden_dim": 16,
        "encoder.projection_dim": 8, "train.batch_size": 16, "train.steps": 3, "evaluation.limit": 200,
        "evaluation.labels": "[10]", "limits": "[16]", "more": 2, "seeds": 1, "output": folder,
    } | {key.replace("__", "."): value for key, value in changes.items()}  # fmt: skip
    views = REPOSITORY / "recipes" / "configs" / "contrast" / "digits.yaml"
    return [f"--config={views}", *(f"--{key}={value}" for key, value in settings.items())]


def config_of(folder: Path, **changes: Any) -> HeadroomConfig:
    return parse(HeadroomConfig, "", flags(folder, **changes))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("headroom")
    return folder, run_headroom(config_of(folder))


def oracle(folder: Path, positives: Positives, weight: float = 1.0) -> OracleTraining:
    run = run_config(config_of(folder), HeadroomJob(positives, 64, 64, 0))
    assert run.data is not None
    return OracleTraining(run, load_images(run.data), Accelerator(cpu=True), positives, weight)


def test_every_way_is_told_with_its_difference_to_real_images(measured: tuple[Path, str]) -> None:
    folder, text = measured
    report = json.loads((folder / "report.json").read_text())
    scores = {(run["way"], run["real_images"]): run["scores"]["linear_top1"] for run in report["runs"]}
    ways = [
        "real",
        "noisy_views",
        "third_view",
        "neighbours",
        "class_alignment",
        "class_positives",
        "real on 2 × as many",
    ]
    assert {way for way, _ in scores} == set(ways)
    for way in ways[1:]:
        gain = scores[way, 16] - scores["real", 16]
        assert f"| {way} | 16 | {'+' if gain > 0 else ''}{gain:.2f} ({int(gain > 0)} of 1) |" in text
    assert json.loads((folder / "runs/more_images-16-images-seed-0/report.json").read_text())["images_seen"] == 48
    assert (folder / "report.md").read_text() == text
    assert report["verdict"] in text


def test_finished_trainings_are_kept_and_a_page_shows_them(
    measured: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = measured
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")}
    recipe = str(REPOSITORY / "recipes" / "benchmark.py")
    monkeypatch.setattr("sys.argv", [recipe, "headroom", *flags(folder)])
    runpy.run_path(recipe, run_name="__main__")
    assert {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")} == before
    assert "class_positives" in (folder / "index.html").read_text()


def test_more_images_are_at_most_those_that_there_are() -> None:
    jobs = list(headroom_jobs(config_of(Path("unused"), more=16), [16, 100], available=100))
    assert [(job.limit, job.images) for job in jobs if job.positives == "more_images"] == [(16, 100)]


def test_noisy_views_are_those_of_real_with_noise_unless_those_have_some(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    real, noisy = (run_config(config, HeadroomJob(way, 16, 16, 0)) for way in ("real", "noisy_views"))
    assert (real.views.noise_probability, noisy.views.noise_probability) == (0, 0.8)
    assert replace(noisy.views, noise_probability=0) == real.views
    with_noise = config_of(tmp_path, views__noise_probability=0.5)
    assert "noisy_views" not in {job.positives for job in headroom_jobs(with_noise, [16], available=100)}


def test_a_third_view_is_pulled_to_the_first(tmp_path: Path) -> None:
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        training = oracle(tmp_path, "third_view", weight)
        inputs: list[torch.Tensor] = []
        training.method.encoder.register_forward_pre_hook(lambda _, images, seen=inputs: seen.append(images[0]))
        losses[weight] = training.loss(training.random_at(0)).item()
    first, second, third = training.method.encoder(inputs[0]).chunk(3)
    distance = (first - third).square().sum(1).mean().item()
    assert losses[0.0] == pytest.approx(nt_xent(first, second, 0.2).item(), rel=1e-5)
    assert losses[1.0] - losses[0.0] == pytest.approx(distance, rel=1e-3)
    assert losses[3.0] - losses[0.0] == pytest.approx(3 * distance, rel=1e-3)


def test_all_of_a_class_are_positives(tmp_path: Path) -> None:
    training = oracle(tmp_path, "class_positives")
    inputs: list[torch.Tensor] = []
    training.method.encoder.register_forward_pre_hook(lambda _, images: inputs.append(images[0]))
    loss = training.loss(training.random_at(0)).item()
    rows = next(oracle(tmp_path, "class_positives").rows)
    first, second = training.method.encoder(inputs[0]).chunk(2)
    expected = multi_positive_nt_xent(first, second, training.labels[rows], 0.2).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert abs(loss - nt_xent(first, second, 0.2).item()) > 0.01


def test_a_class_mate_is_another_image_of_the_class(tmp_path: Path) -> None:
    training = oracle(tmp_path, "class_alignment")
    training.labels[:3] = torch.tensor([77, 78, 78])  # one without another of its class, and a pair
    rows = torch.arange(40)
    mates = training.class_mates(rows, 5)
    assert (training.labels[mates] == training.labels[rows]).all()
    assert mates[:3].tolist() == [0, 2, 1]
    assert (mates[1:] != rows[1:]).all()
    assert torch.equal(mates, training.class_mates(rows, 5))
    assert not torch.equal(mates, training.class_mates(rows, 6))


@pytest.mark.parametrize("positives", ["third_view", "class_alignment", "class_positives"])
def test_a_training_that_goes_on_has_the_bits_of_one_never_stopped(positives: Positives, tmp_path: Path) -> None:
    whole = oracle(tmp_path, positives)
    whole.run(0)
    resumed = oracle(tmp_path, positives)
    resumed.load_state_dict(whole.state_dict())
    resumed.start_at(1)
    assert torch.equal(whole.run(1)["contrastive"], resumed.run(1)["contrastive"])


def test_the_verdict_is_of_the_better_oracle_and_of_every_seed() -> None:
    accuracy = {
        "real": (50.0, 51.0),
        "class_alignment": (51.0, 51.5),
        "class_positives": (57.0, 56.0),
        "noisy_views": (52.0, 52.0),
        "real on 16 × as many": (53.0, 53.0),
    }
    low = {"real": (20.0, 21.0), "class_alignment": (20.0, 21.0), "class_positives": (27.0, 20.0)}
    runs = [
        Trained(way, 500, seed, {"linear": values[seed], "knn": low.get(way, (20.0, 21.0))[seed]})
        for way, values in accuracy.items()
        for seed in (0, 1)
    ]
    first, second = headroom_verdict(Comparison(runs, {"linear": "linear", "knn": "k-NN"})).splitlines()
    assert (
        "500 images, linear: perfect positives give +6.00 points (class_positives); noisy_views +1.50; real on 16 ×"
        " as many +2.50" in first
    )
    assert "can gain at most that, and half of it is 3.00" in first
    assert "not in every seed: no generator is worth tuning" in second


def test_more_images_than_the_source_has_end_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"limits asks for 5,000 images, and digits has 1,\d+"):
        run_headroom(config_of(tmp_path, limits="[5000]"))
    with pytest.raises(MisuseError, match=r"8 images are fewer than train\.batch_size 16"):
        run_headroom(config_of(tmp_path, limits="[8]"))
