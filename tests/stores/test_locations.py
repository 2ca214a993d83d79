"""What is told of a place, by how a person names it."""

import datasets
import pytest

from synthdata.stores import loading_call

from .conftest import BUCKET, S3
from .rows import ROWS, write_rows


@pytest.mark.parametrize(
    ("location", "call"),
    [
        ("out/digits", 'load_dataset("out/digits", "hard", split="train")'),
        ("hf://datasets/ada/digits", 'load_dataset("ada/digits", "hard", split="train")'),
        ("gs://b/digits", 'load_dataset("webdataset", data_files="gs://b/digits/data/hard/*.tar", split="train")'),
    ],
)
def test_the_call_that_loads_a_dataset_names_its_place_as_datasets_does(location: str, call: str) -> None:
    assert loading_call(location, "hard", "webdataset") == call


@pytest.mark.parametrize("file_format", ["webdataset", "parquet"])
def test_datasets_loads_a_dataset_from_s3_with_the_call_that_is_told(s3: S3, file_format: str) -> None:
    output = f"s3://{BUCKET}/loaded-{file_format}"
    write_rows(output, format=file_format)
    loaded = eval(loading_call(output, "hard", file_format), {"load_dataset": datasets.load_dataset})
    assert len(loaded) == ROWS
