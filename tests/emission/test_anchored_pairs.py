"""Pairs of two variants of one real image, as datasets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from datasets import load_dataset

from synthdata.data import to_float, to_uint8
from synthdata.emission import read_manifest, verify_dataset
from synthdata.emission.anchors import Anchors
from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.emission.guard import pixel_distance
from synthdata.emission.run import load_run
from synthdata.errors import FailureError, MisuseError
from synthdata.models import Diffusion, DiffusionConfig
from synthdata.publishing.complete import complete_dataset

from .conftest import CPU, write_run

LEVELS = [0.5, 0.8]
ROWS = 12


@pytest.fixture(scope="module", autouse=True)
def few_references() -> Iterator[None]:
    """Criteria of fewer samples: what they are measured on is not looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthdata.emission.criteria.REFERENCE_ROWS", 64)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run like that of the other tests, of a diffusion model whose images have much of their noise left."""
    run = write_run(tmp_path_factory.mktemp("anchored") / "run")
    torch.manual_seed(0)
    settings = DiffusionConfig(widths=[4, 8], lora_rank=2, sampling_steps=4, variation_steps=2)
    generator = Diffusion.untrained(settings, image_size=16, channels=1)
    generator.begin_tuning()
    for path in sorted((run / "generator").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    generator.save_pretrained(run / "generator")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["synthetic"] = {"variants": {"levels": LEVELS}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def settings_of(folder: Path, output: Path, **changes: Any) -> EmissionConfig:
    settings = {"pairs": ROWS, "pair_source": "anchored", "shard_size": 8, "similarity_band": (0.0, 1.0)}
    return EmissionConfig(run=str(folder), output=str(output), **settings | changes)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Path:
    output = folder.parent / "dataset"
    emit(settings_of(folder, output))
    complete_dataset(str(output), page=True)
    return output


def rows_of(dataset: Path) -> list[dict[str, Any]]:
    return list(load_dataset(str(dataset), "pairs", split="train"))


def test_both_images_of_a_row_are_variants_of_its_anchor_at_its_level(folder: Path, dataset: Path) -> None:
    assert verify_dataset(dataset) == []
    run = load_run(folder, CPU)
    rows = rows_of(dataset)
    assert [row["json"]["index"] for row in rows] == list(range(ROWS))
    assert {row["json"]["noise_level"] for row in rows} == set(LEVELS)
    assert len({row["json"]["anchor"] for row in rows}) > ROWS / 2
    positions = {int(row): place for place, row in enumerate(run.images.source_indices)}
    anchors = run.images.gather(torch.tensor([positions[row["json"]["anchor"]] for row in rows]))
    for member in ("a.png", "b.png"):
        images = torch.stack([torch.from_numpy(np.array(row[member]))[None] for row in rows])
        of_others = pixel_distance(images, anchors.roll(1, 0)).mean()
        assert pixel_distance(images, anchors).mean() < of_others
        # no variant comes as near as a copy to the image that it grew from, or to any other
        distance = read_manifest(dataset)["criteria"]["pairs"]["copy_distance"]
        every = run.images.gather()
        for image in images:
            assert pixel_distance(image.expand_as(every), every).min() > distance
    assert not any(row["a.png"].tobytes() == row["b.png"].tobytes() for row in rows)


def test_a_row_is_drawn_from_the_seed_and_its_index(folder: Path) -> None:
    run = load_run(folder, CPU)
    whole, part = (Anchors.draw(3, torch.tensor(rows), run, LEVELS) for rows in ([4, 5, 6], [5]))
    assert torch.equal(whole.latents[1:2], part.latents)
    assert (whole.positions[1], whole.levels[1]) == (part.positions[0], part.levels[0])
    again = Anchors.interleaved([whole, Anchors.draw(4, torch.tensor([4, 5, 6]), run, LEVELS)])
    assert torch.equal(again.latents[::2], whole.latents)
    filled = part.filled(3)
    made = run.generator.vary(to_float(run.images.gather(filled.positions)), filled.levels, filled.latents[:, 0])
    assert torch.equal(to_uint8(made[0]), to_uint8(made[2]))


def test_parquet_has_the_same_rows_whatever_the_batch_size(folder: Path, dataset: Path) -> None:
    parquet = folder.parent / "parquet"
    emit(settings_of(folder, parquet, format="parquet", batch_size=1))
    complete_dataset(str(parquet), page=False)
    for row, expected in zip(rows_of(parquet), rows_of(dataset), strict=True):
        assert {name: row[name] for name in expected["json"]} == expected["json"]
        for member in ("a", "b"):
            assert row[f"image_{member}"].tobytes() == expected[f"{member}.png"].tobytes()


def test_card_and_croissant_tell_of_the_level_and_the_anchor(dataset: Path) -> None:
    card = " ".join((dataset / "README.md").read_text().split())
    assert "two variants of one real image, which is hidden: it is not in this dataset" in card
    assert "to a level of 0.5, 0.8 of the diffusion process" in card
    records = json.loads((dataset / "croissant.json").read_text())["recordSet"]
    assert {"noise_level", "anchor"} <= {field["name"] for record in records for field in record["field"]}


def test_levels_at_which_variants_are_copies_are_told_with_the_mend(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FailureError, match=r"100% memorised.*: give higher --noise_levels"):
        emit(settings_of(folder, tmp_path / "out", noise_levels=[0.0], pairs=1))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pairs": 0, "hard": 1}, "pair_source is anchored, and pairs is 0: give --pairs N"),
        ({"noise_levels": [1.0]}, r"noise_levels\[0\] is 1.0: .*less than 1"),
        ({"noise_levels": []}, "noise_levels is .*at least one"),
        ({"noise_levels": [0.5], "pair_source": "latents"}, "or give --pair_source anchored"),
    ],
)
def test_settings_that_do_not_go_together_are_told(
    changes: dict[str, Any], told: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(MisuseError, match=told):
        emit(settings_of(folder, tmp_path / "out", **changes))


def test_a_gan_and_a_run_without_levels_say_what_to_do(run_folder: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="of kind gan, which makes no variants of real images: leave out"):
        emit(settings_of(run_folder, tmp_path / "out"))
    config = folder / "config.yaml"
    whole = config.read_text()
    tree = yaml.safe_load(whole)
    del tree["synthetic"]
    config.write_text(yaml.safe_dump(tree))
    try:
        with pytest.raises(MisuseError, match="was trained without noise levels: give --noise_levels"):
            emit(settings_of(folder, tmp_path / "out"))
    finally:
        config.write_text(whole)
