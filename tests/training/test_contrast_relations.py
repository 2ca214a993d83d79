"""Contrastive training on constructed negatives."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hub.samples import write_webdataset
from test_contrast import REAL, config_of, metrics, weights

from synthdata.construction.config import HardNegativesConfig
from synthdata.construction.construct import construct
from synthdata.data import DataConfig, load_images, load_negatives
from synthdata.data.negatives import Negatives
from synthdata.errors import MisuseError
from synthdata.models import Encoder
from synthdata.training import train_contrast


@pytest.fixture(scope="module")
def relations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hard negatives of each of the digits, by an encoder that was not trained."""
    folder = tmp_path_factory.mktemp("relations")
    torch.manual_seed(0)
    Encoder("resnet8", 8, 1, width=4, hidden_dim=16, projection_dim=8).save_pretrained(folder / "encoder")
    construct(
        HardNegativesConfig(source="digits", encoder=str(folder / "encoder"), output=str(folder / "out"), tau=0.1)
    )
    return folder / "out"


def test_negatives_are_the_rows_that_the_dataset_names(relations: Path) -> None:
    images = load_images(DataConfig("digits", image_size=16)).train
    negatives = load_negatives(str(relations), images)
    assert negatives.places.shape == negatives.weights.shape == (1197, 3)
    own = torch.arange(1197)[:, None]
    assert not (negatives.places == own).any()
    assert negatives.weights.eq(1).all()


def test_of_the_first_images_alone_negatives_outside_are_left_out(relations: Path) -> None:
    images = load_images(DataConfig("digits", limit=100)).train
    negatives = load_negatives(str(relations), images)
    assert len(negatives.places) == 100
    absent = negatives.weights == 0
    assert absent.any()
    assert (negatives.places == torch.arange(100)[:, None])[absent].all()


def test_present_negatives_are_drawn_first_and_all_alike() -> None:
    places = torch.arange(12).reshape(4, 3)
    negatives = Negatives(places, torch.tensor([[1.0, 2, 0]] * 4), torch.zeros(4, 3, dtype=torch.bool))
    drawn = torch.cat(
        [negatives.draw(torch.tensor([2]), torch.rand(1, 3, generator=torch.Generator().manual_seed(i)), 1).places
         for i in range(200)]
    )  # fmt: skip
    counts = drawn.flatten().bincount(minlength=12)
    assert counts[6] + counts[7] == 200
    assert 70 < counts[6] < 130


@pytest.mark.parametrize("method", ["simclr", "debiased", "hard_negative", "hasa"])
def test_constructed_negatives_change_what_is_learned(relations: Path, tmp_path: Path, method: str) -> None:
    settings: dict[str, Any] = {**REAL, "method": method, "method_settings__related": 2}
    report = train_contrast(config_of(tmp_path / "with", relations=relations, **settings))
    assert report["relations"] == str(relations)
    if method != "hasa":
        train_contrast(config_of(tmp_path / "without", **settings))
        losses = [[line["contrastive"] for line in metrics(tmp_path / name)] for name in ("with", "without")]
        assert losses[0][0] > losses[1][0]
    assert all(value.isfinite().all() for value in weights(tmp_path / "with").values())


def test_a_run_is_the_same_from_where_it_was_resumed(relations: Path, tmp_path: Path) -> None:
    settings = {**REAL, "relations": relations, "method": "hasa", "checkpoint__every": 3, "train__accumulation": 2}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train_contrast(config_of(whole, **settings))
    shutil.copytree(whole, resumed)
    for made in ("encoder", "curves", "checkpoints/step-000000006"):
        shutil.rmtree(resumed / made)
    (resumed / "report.json").unlink()
    train_contrast(config_of(resumed, resume="true", **settings))
    for name, value in weights(whole).items():
        assert torch.equal(weights(resumed)[name], value), name


def spoiled(relations: Path, folder: Path) -> Path:
    copy = shutil.copytree(relations, folder / "spoiled")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["run"]["source"]["sha256"] = 64 * "0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "hasa"}, "hasa needs constructed negatives: give --relations DIR"),
        ({"method": "byol", "relations": "{relations}"}, "byol reads no --relations: choose one of simclr, debiased"),
        ({"relations": "{relations}", "shards": "{shards}"}, "give --data.source, and no --shards"),
        ({"relations": "{shards}"}, "is no constructed dataset"),
        ({"relations": "{relations}/absent"}, "is no folder: give a dataset directory"),
        ({"relations": "{spoiled}"}, "tells of the 1,197 rows of digits, which are not the 1,197 images"),
    ],
)
def test_misuse_ends_in_one_line(relations: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    folders = {
        "relations": relations,
        "shards": write_webdataset(tmp_path / "shards"),
        "spoiled": spoiled(relations, tmp_path),
    }
    changes = {key: value.format(**folders) for key, value in changes.items()}
    with pytest.raises(MisuseError) as caught:
        train_contrast(config_of(tmp_path / "run", **{**REAL, **changes}))
    assert words in str(caught.value)
