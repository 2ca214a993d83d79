"""A generator trained from a classifier alone: in this process, interrupted, and on two."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from processes import TwoProcesses
from safetensors.torch import load_file
from small_classifiers import CLASSES, small_classifier

from synthdata.errors import Interrupted, MisuseError
from synthdata.models import DataFree, DataFreeConfig, load_classifier, load_generator
from synthdata.rng import latents_at
from synthdata.training import DistilConfig, distil
from synthdata.training.config import CheckpointConfig
from synthdata.training.distil import DistilTrainConfig, DistilTraining

STEPS = 12
TOLERANCE = 1e-4
"""How far two processes may be from one: float32 sums over a batch depend on their order."""


def config_of(classifier: Path, output: Path, **changes: Any) -> DistilConfig:
    generator = DataFreeConfig(latent_dim=8, width=4, max_width=8, temperature=1.0)
    train = DistilTrainConfig(steps=STEPS, batch_size=16, log_every=1)
    config = DistilConfig(str(classifier), output_dir=str(output), generator=generator, train=train)
    return replace(config, checkpoint=CheckpointConfig(every=5), **changes)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    small_classifier().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def finished(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run, and its report."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, distil(config_of(classifier, folder))


def metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in lines]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "generator" / "generator" / "diffusion_pytorch_model.safetensors")


def test_a_run_leaves_a_complete_directory(finished: tuple[Path, dict[str, Any]], classifier: Path):
    folder, report = finished
    assert json.loads((folder / "report.json").read_text()) == report
    assert (report["method"], report["steps"], report["images_seen"]) == ("data_free", STEPS, 16 * STEPS)
    generator = load_generator(folder / "generator")
    assert isinstance(generator, DataFree)
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        f"step-{step:06d}.png" for step in (3, 6, 9, 12)
    ]
    assert [path.name for path in (folder / "curves").iterdir()] == ["data_free.png"]
    for path in [*(folder / "samples").iterdir(), *(folder / "curves").iterdir()]:
        assert Image.open(path).size[0] > 200
    taught = load_classifier(classifier)
    assert all(
        torch.equal(value, taught.state_dict()[name]) for name, value in generator.classifier.state_dict().items()
    )


def test_the_report_counts_what_the_classifier_takes_the_images_for(finished: tuple[Path, dict[str, Any]]):
    folder, report = finished
    generator = load_generator(folder / "generator")
    assert isinstance(generator, DataFree)
    latents = latents_at(0, torch.arange(2048), generator.latent_shape)
    with torch.no_grad():
        answers = generator.classifier(generator.sample(latents, averaged=True)).softmax(1)
    labels = answers.argmax(1).tolist()
    assert report["class_counts"] == {name: labels.count(number) for number, name in enumerate(CLASSES)}
    assert report["mean_confidence"] == pytest.approx(float(answers.amax(1).mean()), abs=1e-3)


def test_training_brings_the_statistics_nearer(finished: tuple[Path, dict[str, Any]]):
    distances = [line["statistics"] for line in metrics(finished[0])]
    assert sum(distances[-3:]) < sum(distances[:3])


def test_an_interrupted_run_goes_on_with_the_same_bits(
    finished: tuple[Path, dict[str, Any]], classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    step, parts = DistilTraining.run, tmp_path / "parts"

    def stopped(training: DistilTraining, iteration: int) -> dict[str, torch.Tensor]:
        if iteration == 7:
            os.kill(os.getpid(), 15)
        return step(training, iteration)

    monkeypatch.setattr(DistilTraining, "run", stopped)
    with pytest.raises(Interrupted):
        distil(config_of(classifier, parts))
    monkeypatch.setattr(DistilTraining, "run", step)
    distil(config_of(classifier, parts, resume=True))
    assert metrics(parts) == metrics(finished[0])
    assert all(torch.equal(value, weights(parts)[name]) for name, value in weights(finished[0]).items())


def trained(rank: int, folder: Path, processes: int) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """The terms of every step, and the weights at the end, of one of so many processes."""
    accelerator: Any = SimpleNamespace(
        device=torch.device("cpu"), process_index=rank, num_processes=processes, autocast=contextlib.nullcontext
    )
    config = config_of(folder, folder)
    torch.manual_seed(0)
    training = DistilTraining(config, DataFree(config.generator, load_classifier(folder)), accelerator)
    terms = [{name: float(term) for name, term in training.run(step).items()} for step in range(STEPS)]
    return terms, {name: value.detach() for name, value in training.generator.averages.state_dict().items()}


def test_two_processes_train_as_one_does(classifier: Path, two_processes: TwoProcesses):
    terms, weights = trained(0, classifier, processes=1)
    parts = two_processes.run(trained, classifier, 2)
    for number, step in enumerate(terms):
        shared = {"diversity", "statistics"}  # of the whole batch in every process; the others are means over its rows
        for name, value in step.items():
            found = [part[0][number][name] for part in parts]
            assert sum(found) / 2 == pytest.approx(value, rel=TOLERANCE, abs=1e-5), name
            assert name not in shared or found[0] == pytest.approx(found[1], rel=1e-6)
    for name, value in weights.items():
        torch.testing.assert_close(parts[0][1][name], value, atol=TOLERANCE, rtol=TOLERANCE)
        assert torch.equal(parts[0][1][name], parts[1][1][name])


def test_a_classifier_that_cannot_be_used_leaves_no_run(tmp_path: Path):
    with pytest.raises(MisuseError, match=r"holds no config\.json"):
        distil(config_of(tmp_path / "absent", tmp_path / "run"))
    assert not (tmp_path / "run").exists()
