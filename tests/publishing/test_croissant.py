"""Croissant metadata, as its own reference implementation reads it."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import mlcroissant
import pyarrow.parquet as pq
import pytest
from emission.conftest import write_run
from etils import epath
from PIL import Image

from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.publishing.croissant import write_croissant

from .made import write_dataset


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mlcroissant unpacks archives into a folder of its own; keep it apart."""
    monkeypatch.setattr(
        "mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH", epath.Path(tmp_path / "extracted")
    )


def described(folder: Path) -> dict[str, Any]:
    """What croissant.json says of a dataset, once it was written and found valid."""
    manifest = json.loads((folder / "manifest.json").read_text())
    path = write_croissant(folder, manifest)
    issues = mlcroissant.Dataset(str(path)).metadata.ctx.issues
    assert not issues.errors
    assert not [warning for warning in issues.warnings if "datePublished" not in warning and "license" not in warning]
    return json.loads(path.read_text())


def test_rows_of_parquet_are_read_by_mlcroissant_as_they_are(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "pairs", "pairs", rows=3)
    described(folder)
    records = list(mlcroissant.Dataset(str(folder / "croissant.json")).records("pairs"))
    expected = pq.read_table(next(folder.glob("data/pairs/*"))).to_pylist()
    assert len(records) == len(expected) == 3
    for record, row in zip(records, expected, strict=True):
        assert record["pairs/similarity"] == row["similarity"]
        assert record["pairs/index"] == row["index"]
        for member in ("image_a", "image_b"):
            read = record[f"pairs/{member}"].convert("L").tobytes()
            assert read == Image.open(io.BytesIO(row[member]["bytes"])).tobytes()


def test_metadata_of_tar_shards_is_valid_and_its_images_are_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    emit(EmissionConfig(run=str(run), output=str(tmp_path / "tar"), hard=5, pairs=3, shard_size=3, license="cc-by-4.0"))
    told = described(tmp_path / "tar")
    assert told["license"] == "https://creativecommons.org/licenses/by/4.0/"
    manifest = json.loads((tmp_path / "tar" / "manifest.json").read_text())
    files = {each["@id"]: each["sha256"] for each in told["distribution"] if each["@type"] == "cr:FileObject"}
    assert files == {shard["path"]: shard["sha256"] for shard in manifest["shards"]}
    dataset = mlcroissant.Dataset(str(tmp_path / "tar" / "croissant.json"))
    keys = [record["hard_image/key"].decode() for record in dataset.records("hard_image")]
    assert sorted(keys) == [f"hard-{index:08d}" for index in range(5)]
    (image,) = (record["pairs_image_b/image"] for record in itertools.islice(dataset.records("pairs_image_b"), 1))
    assert image.size == (16, 16)


def test_provenance_names_source_weights_and_seeds(tmp_path: Path) -> None:
    told = described(write_dataset(tmp_path / "made", "hard", rows=2, supersedes={"name": "old"}))
    source, superseded = told["prov:wasDerivedFrom"]
    assert (source["@type"], source["sha256"]) == ("prov:Entity", "a" * 64)
    assert json.loads(superseded["text"]) == {"name": "old"}
    activity = told["prov:wasGeneratedBy"]
    assert {agent["sha256"] for agent in activity["prov:wasAssociatedWith"]} == {"e" * 64, "f" * 64}
    assert "seed of the dataset 0, seed of the training 3" in activity["description"]


def test_responsible_use_tells_the_guard_and_the_limits(tmp_path: Path) -> None:
    told = described(write_dataset(tmp_path / "made", "hard", rows=2))
    assert any("0 candidates within 0.07" in each for each in told["rai:personalSensitiveInformation"])
    assert any("1,197 training images" in each for each in told["rai:dataLimitations"])
    assert told["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]


def test_an_empty_kind_and_a_kind_that_is_not_known_are_valid(tmp_path: Path) -> None:
    assert described(write_dataset(tmp_path / "empty", "hard", rows=0))["recordSet"] == []
    folder = write_dataset(tmp_path / "other", "hard", rows=2)
    (folder / "manifest.json").write_text(
        (folder / "manifest.json")
        .read_text()
        .replace('"hard"', '"masks"')
        .replace("hard-", "masks-")
        .replace("data/hard", "data/masks")
    )
    told = described(folder)
    assert told["recordSet"] == []
    assert len(told["distribution"]) == 1
