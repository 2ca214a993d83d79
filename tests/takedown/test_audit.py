"""The audit of a takedown."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from synthdata.errors import MisuseError
from synthdata.takedown.audit import AuditConfig, accuracies, audit, measure_runs
from synthdata.takedown.before import Before, divide
from synthdata.takedown.config import ForgettingConfig, TakedownConfig
from synthdata.takedown.membership import auc
from synthdata.takedown.shadows import attack_by_shadows, halves, per_example_auc
from synthdata.takedown.takedown import take_down
from synthdata.training.config import JointTrainConfig

from .conftest import ROWS

CPU = torch.device("cpu")
SHORT = JointTrainConfig(steps=4, batch_size=16, log_every=4)
ACCELERATOR = Accelerator(cpu=True)


@pytest.fixture(scope="module")
def forgotten(memorised: Before, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of which images were taken down, the list of them, and another such run, which stands for a reference."""
    folder = tmp_path_factory.mktemp("audit")
    rows = memorised.data.train.source_indices[:8].tolist()
    (folder / "forget.txt").write_text("\n".join(map(str, rows)))
    for name, method in (("new", "ascent"), ("reference", "finetune")):
        settings = {"run": str(memorised.folder), "forget": str(folder / "forget.txt"), "method": method}
        take_down(TakedownConfig(**settings, output_dir=str(folder / name)))  # type: ignore[arg-type]
    return {name: folder / name for name in ("new", "reference", "forget.txt")}


def test_it_writes_a_table_a_plot_and_numbers_of_all_three_runs(
    forgotten: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthdata.takedown.audit._LOOKED_AT", 128)
    settings = {"run": str(forgotten["new"]), "forget": str(forgotten["forget.txt"]), "relearn_steps": 10}
    result = audit(AuditConfig(**settings, reference=str(forgotten["reference"])), ACCELERATOR)  # type: ignore[arg-type]
    folder = forgotten["new"] / "audit"
    assert json.loads((folder / "audit.json").read_text()) == result
    assert 0.6 < result["power"]["auc"]["value"] < 1
    before, after, reference = (result[name] for name in ("before", "after", "reference"))
    assert before["relearn_steps"] == 0
    assert before["membership"]["auc"]["value"] > after["membership"]["auc"]["value"]
    for each in (before, after, reference):
        assert 0 <= each["membership"]["told_non_members"] <= 1
        assert each["accuracy"]["linear_retained"] > 50
    assert "| | before | after | reference |" in (folder / "audit.md").read_text().replace("|  |", "| |")
    with Image.open(folder / "audit.png") as plot:
        assert plot.width > 300


def test_shadows_have_half_of_the_images_each_and_every_image_is_in_half_of_them() -> None:
    had = halves(7, 6, 0)
    assert (had.sum(0) == 3).all()
    assert len({tuple(each) for each in had.T.tolist()}) > 1


def test_an_attack_on_each_image_sees_what_one_on_all_does_not() -> None:
    """Images that differ among themselves far more than by membership."""
    had = halves(40, 8, 0)
    own = torch.randn(40, generator=torch.Generator().manual_seed(0))
    noise = 0.02 * torch.randn(8, 40, generator=torch.Generator().manual_seed(1))
    scores = own + 0.1 * had + noise
    assert auc(scores[had], scores[~had]) < 0.6
    assert per_example_auc(scores, had) > 0.99
    assert 0.4 < per_example_auc(own + noise, had) < 0.6


def test_shadows_are_trained_and_attacked(memorised: Before, tmp_path: Path) -> None:
    rows = memorised.data.train.source_indices[:8].tolist()
    short = replace(memorised, config=replace(memorised.config, train=replace(SHORT, temperature=0.2)))
    found = attack_by_shadows(short, divide(memorised, rows), ForgettingConfig(), 4, tmp_path, ACCELERATOR)
    assert found.keys() == {"before", "after", "shadows"}
    assert all(0 <= found[name] <= 1 for name in ("before", "after"))


def test_a_generator_is_compared_with_the_images(taken_down: Path, before: Before, run_folder: Path) -> None:
    images = divide(before, ROWS)
    config = AuditConfig(relearn_steps=0, generated=20)
    measured = measure_runs({"before": run_folder, "after": taken_down}, images, before, config, CPU)
    for name in ("before", "after"):
        assert 0 <= measured[name]["generator"]["near_copies"] <= 1
        assert 0 <= measured[name]["generator"]["score_auc"] <= 1


def test_what_cannot_be_audited_is_told(memorised: Before, forgotten: dict[str, Path], tmp_path: Path) -> None:
    settings = {"run": str(forgotten["new"]), "forget": str(forgotten["forget.txt"])}
    (tmp_path / "other.txt").write_text("2\n5")
    for changes, words in (
        ({"run": str(memorised.folder)}, "no run of recipes/takedown.py"),
        ({"forget": str(tmp_path / "other.txt")}, "give the list that was taken down"),
        ({"reference": str(memorised.folder)}, "was trained on images of the list"),
        ({"shadows": 3}, "shadows is 3"),
    ):
        with pytest.raises(MisuseError, match=words):
            audit(AuditConfig(**settings | changes), ACCELERATOR)  # type: ignore[arg-type]


def test_too_few_retained_images_are_told(memorised: Before) -> None:
    rows = memorised.data.train.source_indices[:50].tolist()
    images = divide(memorised, rows)
    with pytest.raises(MisuseError, match="14 retained and 300 test images are too few"):
        measure_runs({"before": memorised.folder}, images, memorised, AuditConfig(), CPU)


def test_images_without_labels_have_no_accuracies(memorised: Before) -> None:
    images = divide(memorised, memorised.data.train.source_indices[:8].tolist())
    unlabelled = replace(images, retained=replace(images.retained, classes=None))
    assert accuracies(None, unlabelled, CPU) == {}  # type: ignore[arg-type]
