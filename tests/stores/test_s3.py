"""Datasets in an object store that speaks S3."""

from pathlib import Path

import pytest

from synthdata.emission import read_manifest, verify_dataset
from synthdata.publishing.complete import complete_dataset

from .conftest import BUCKET, S3
from .rows import write_rows


def sha256s(location: object) -> dict[str, str]:
    return {shard["path"]: shard["sha256"] for shard in read_manifest(str(location))["shards"]}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset on this machine."""
    folder = tmp_path_factory.mktemp("local") / "digits"
    write_rows(folder)
    return folder


@pytest.mark.parametrize("file_format", ["webdataset", "parquet"])
def test_a_dataset_in_s3_has_the_bytes_of_one_on_this_machine(s3: S3, tmp_path: Path, file_format: str) -> None:
    output = f"s3://{BUCKET}/{file_format}"
    write_rows(tmp_path / "local", format=file_format)
    write_rows(output, format=file_format)
    complete_dataset(output)
    assert sha256s(output) == sha256s(tmp_path / "local")
    assert verify_dataset(output) == verify_dataset(output, deep=True) == []
    names = {key.split("/", 1)[1] for key in s3.files(file_format)}
    beside = {"README.md", "assets/hardness.png", "croissant.json", "index.html", "manifest.json"}
    assert names == {*sha256s(output), *beside}
