"""Datasets as other people's tools read them."""

import io
import subprocess
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from synthdata.emission import read_manifest, verify_dataset
from synthdata.emission.encoding import EncodedRow, parquet_features, write_parquet
from synthdata.stores import Draft

from .conftest import Emit, emit_as_the_recipe


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache of ``datasets`` of our own."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def parquet(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of ``dataset`` as Parquet."""
    from synthdata.emission.config import EmissionConfig

    output = tmp_path_factory.mktemp("datasets") / "parquet"
    emit_as_the_recipe(
        EmissionConfig(run=str(run_folder), output=str(output), hard=30, pairs=20, shard_size=8, format="parquet")
    )
    return output


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_reads_tar_shards(dataset: Path, cache: str, streaming: bool):
    hard = list(datasets.load_dataset(str(dataset), "hard", split="train", streaming=streaming, cache_dir=cache))
    pairs = list(datasets.load_dataset(str(dataset), "pairs", split="train", streaming=streaming, cache_dir=cache))
    assert [row["json"]["index"] for row in hard] == list(range(30))
    assert [row["json"]["index"] for row in pairs] == list(range(20))
    assert hard[0]["png"].size == (16, 16)
    assert pairs[0]["a.png"].size == pairs[0]["b.png"].size == (16, 16)
    assert set(pairs[0]["json"]) == {"index", "seed", "similarity", "realism", "nearest_real", "nearest_similarity"}


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_reads_parquet_shards(parquet: Path, cache: str, streaming: bool):
    hard = list(datasets.load_dataset(str(parquet), "hard", split="train", streaming=streaming, cache_dir=cache))
    pairs = list(datasets.load_dataset(str(parquet), "pairs", split="train", streaming=streaming, cache_dir=cache))
    assert list(hard[0]) == ["image", "index", "seed", "hardness", "realism", "nearest_real", "nearest_similarity"]
    assert list(pairs[0])[:4] == ["image_a", "image_b", "index", "seed"]
    assert [row["index"] for row in hard] == list(range(30))
    assert pairs[0]["image_a"].size == (16, 16)


def test_parquet_and_tar_hold_the_same_rows(dataset: Path, parquet: Path, cache: str):
    tar_rows = datasets.load_dataset(str(dataset), "pairs", split="train", cache_dir=cache)
    parquet_rows = datasets.load_dataset(str(parquet), "pairs", split="train", cache_dir=cache)
    for tar_row, parquet_row in zip(tar_rows, parquet_rows, strict=True):
        for member in ("a", "b"):
            assert np.array_equal(tar_row[f"{member}.png"], parquet_row.pop(f"image_{member}"))
        assert tar_row["json"] == parquet_row


def test_parquet_declares_its_images(parquet: Path):
    shard = next((parquet / "data" / "hard").iterdir())
    schema = pq.read_schema(shard)
    assert datasets.Features.from_arrow_schema(schema)["image"] == datasets.Image()


def test_no_row_group_of_parquet_is_too_large_for_the_viewer_of_the_hub(tmp_path: Path):
    columns = {"hardness": 1.0, "realism": 1.0, "nearest_real": 0, "nearest_similarity": 1.0}
    metadata: dict[str, int | float] = {"seed": 0, **columns}
    large = {"": b"x" * 30_000_000}
    rows = [EncodedRow(i, f"hard-{i}", large, "png", metadata | {"index": i}, Counter(), []) for i in range(7)]
    small = [replace(rows[0], index=i, images={"": b"x"}, metadata=metadata | {"index": i}) for i in range(7, 250)]
    with (tmp_path / "large.parquet").open("wb") as file:
        write_parquet(
            Draft("large.parquet", tmp_path / "large.parquet", file), parquet_features("hard"), iter([*rows, *small])
        )
    written = pq.ParquetFile(tmp_path / "large.parquet")
    groups = [written.metadata.row_group(number) for number in range(written.num_row_groups)]
    assert [group.num_rows for group in groups] == [3, 3, 100, 100, 44]
    assert written.read(["index"])["index"].to_pylist() == list(range(250))
    for number in range(len(groups)):
        assert written.read_row_group(number).nbytes <= 100_000_000


def test_parquet_shards_come_out_the_same_again(parquet: Path, emit_to: Emit, tmp_path: Path):
    emit_to(tmp_path / "again", format="parquet")
    assert read_manifest(tmp_path / "again")["shards"] == read_manifest(parquet)["shards"]


def test_webdataset_reads_tar_shards(dataset: Path):
    shards = [str(dataset / shard["path"]) for shard in read_manifest(dataset)["shards"] if shard["kind"] == "pairs"]
    rows = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("a.png", "b.png", "json"))
    assert [metadata["index"] for _, _, metadata in rows] == list(range(20))
    assert rows[0][0].size == (16, 16)


def test_tar_lists_keys_and_extensions(dataset: Path):
    listed = subprocess.run(
        ["tar", "tf", dataset / "data/pairs/pairs-00002-of-00003.tar"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split()[:3] == ["pairs-00000016.a.png", "pairs-00000016.b.png", "pairs-00000016.json"]


def test_tar_members_carry_no_time_user_or_machine(dataset: Path):
    for shard in (dataset / "data").rglob("*.tar"):
        with tarfile.open(shard) as tar:
            assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in tar} == {
                (0, 0, 0, "", "")
            }
            assert tar.pax_headers == {}


@pytest.mark.parametrize(("image_format", "suffix"), [("png", "png"), ("webp", "webp"), ("jpeg", "jpg")])
def test_images_are_in_the_format_asked_for(emit_to: Emit, tmp_path: Path, cache: str, image_format: str, suffix: str):
    emit_to(tmp_path / "out", hard=2, pairs=0, image_format=image_format)
    row = datasets.load_dataset(str(tmp_path / "out"), "hard", split="train", streaming=True, cache_dir=cache)
    assert next(iter(row))[suffix].size == (16, 16)
    with tarfile.open(tmp_path / "out/data/hard/hard-00000-of-00001.tar") as tar:
        content = tar.extractfile(f"hard-00000000.{suffix}")
        assert content is not None
        assert Image.open(io.BytesIO(content.read())).format == image_format.upper()


def test_lossless_webp_keeps_every_pixel(dataset: Path, emit_to: Emit, tmp_path: Path):
    emit_to(tmp_path / "out", hard=8, pairs=0, image_format="webp")
    pixels = []
    for folder, suffix in ((dataset, "png"), (tmp_path / "out", "webp")):
        with tarfile.open(next((folder / "data/hard").glob("hard-00000-*.tar"))) as tar:
            files = [tar.extractfile(f"hard-{index:08d}.{suffix}") for index in range(8)]
            pixels.append([np.array(Image.open(file).convert("L")) for file in files if file])  # webp has no greyscale
    assert np.array_equal(*pixels)


def test_lower_jpeg_quality_takes_less_room(emit_to: Emit, tmp_path: Path):
    sizes = []
    for quality in (95, 20):
        emit_to(tmp_path / f"{quality}", hard=8, pairs=0, image_format="jpeg", quality=quality)
        with tarfile.open(tmp_path / f"{quality}/data/hard/hard-00000-of-00001.tar") as tar:
            sizes.append(sum(member.size for member in tar if member.name.endswith("jpg")))
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("kinds", [{"hard": 3, "pairs": 0}, {"hard": 0, "pairs": 3}])
def test_one_kind_alone_is_a_dataset(emit_to: Emit, tmp_path: Path, cache: str, kinds: dict[str, int]):
    emit_to(tmp_path / "out", **kinds)
    kind = next(name for name, rows in kinds.items() if rows)
    assert datasets.get_dataset_config_names(str(tmp_path / "out")) == [kind]
    assert len(datasets.load_dataset(str(tmp_path / "out"), kind, split="train", cache_dir=cache)) == 3
    assert verify_dataset(tmp_path / "out") == []
