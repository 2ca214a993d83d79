"""Datasets in an object store that speaks S3."""

from pathlib import Path

import pytest

from synthdata.emission import finish_dataset, read_manifest, verify_dataset
from synthdata.errors import FailureError, MisuseError
from synthdata.publishing.complete import complete_dataset

from .conftest import BUCKET, S3, SECRET, fresh_clients
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


def test_requests_that_fail_in_passing_are_repeated(s3: S3, local: Path) -> None:
    output = f"s3://{BUCKET}/faults"
    s3.faults.waiting = {"PUT": [500, None, "cut", None, "slow"], "GET": ["cut", 503]}
    write_rows(output)
    assert not any(s3.faults.waiting.values())
    assert sha256s(output) == sha256s(local)


def test_a_put_that_dies_leaves_no_shard_and_the_same_command_goes_on(s3: S3, local: Path) -> None:
    output = f"s3://{BUCKET}/died"
    s3.faults.waiting = {"PUT": [None, None, None, (400, "InvalidRequest")]}  # plan, first shard and its record
    with pytest.raises(
        FailureError, match=rf"{output} cannot be written \(InvalidRequest\): run the same command again"
    ):
        write_rows(output)
    s3.faults.waiting.clear()
    shards = [key for key in s3.files("died") if key.endswith(".tar")]
    assert "died/data/hard/hard-00000-of-00004.tar" in shards
    assert "died/data/hard/hard-00001-of-00004.tar" not in shards
    assert write_rows(output).kept >= 8
    assert sha256s(output) == sha256s(local)


def test_two_workers_complete_a_dataset_between_them(s3: S3, local: Path) -> None:
    output = f"s3://{BUCKET}/workers"
    assert write_rows(output, worker=0, workers=2).manifest is None
    with pytest.raises(FailureError, match=rf"2 of 4 shards of {output} are not made yet"):
        finish_dataset(output)
    assert write_rows(output, worker=1, workers=2).manifest is not None
    assert sha256s(output) == sha256s(local)


def test_verify_asks_for_one_listing_and_names_what_is_wrong(s3: S3) -> None:
    output = f"s3://{BUCKET}/wrong"
    write_rows(output)
    place = "wrong/data/hard/hard-0000{}-of-00004.tar"
    content = s3.files("wrong")[place.format(0)]
    s3.client.put_object(Bucket=BUCKET, Key=place.format(0), Body=content[:-1] + b"x")
    s3.client.put_object(Bucket=BUCKET, Key=place.format(1), Body=content[:-1])
    s3.client.delete_object(Bucket=BUCKET, Key=place.format(2))
    s3.client.put_object(Bucket=BUCKET, Key=place.format(7), Body=b"")
    s3.faults.seen.clear()
    problems = verify_dataset(output)
    assert [problem.partition(": ")[2].partition(",")[0] for problem in problems] == [
        "altered",
        "truncated",
        "missing",
        "not in the manifest",
    ]
    assert sum(".tar" in each for each in s3.faults.seen) == 0
    assert write_rows(output).rows == 8 + 8 + 8


@pytest.mark.parametrize(
    ("location", "changes", "fault", "named"),
    [
        ("nowhere://bucket/x", {}, None, r"nowhere:// is no scheme that is known here: give a path, or one of s3://"),
        ("s3://no-such-bucket/x", {}, None, r"s3://no-such-bucket/x is in no bucket .* \(NoSuchBucket\): create it"),
        ("s3://ada:key@bucket/x", {}, None, r"holds a name and a path, and no keys"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": None}, None, r"there are no credentials for s3://bucket/x: run `aws"),
        ("s3://bucket/x", {}, (403, "RequestTimeTooSkewed"), r"\(RequestTimeTooSkewed\): set the clock"),
        ("s3://bucket/x", {}, (403, "SignatureDoesNotMatch"), r"does not know these credentials \(SignatureDoesNotMa"),
        ("s3://bucket/x", {}, (403, "AccessDenied"), r"may not be read with these credentials \(AccessDenied\)"),
        ("az://bucket/x", {}, None, r"az:// needs another package: pip install adlfs"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_in_one_line_without_a_secret(
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
    location: str,
    changes: dict[str, None],
    fault: tuple[int, str] | None,
    named: str,
) -> None:
    fresh_clients()
    for name in changes:
        monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    if fault:
        s3.faults.waiting = {"GET": [fault] * 8, "HEAD": [fault] * 8}
    with pytest.raises((MisuseError, FailureError), match=named) as told:
        write_rows(location)
    assert "\n" not in str(told.value)
    assert SECRET not in str(told.value)
    fresh_clients()


def test_a_store_that_may_be_read_and_not_written_loses_nothing(s3: S3, local: Path) -> None:
    output = f"s3://{BUCKET}/read-only"
    write_rows(output, worker=0, workers=2)
    before = s3.files("read-only")
    s3.faults.read_only = True
    with pytest.raises(MisuseError, match=rf"{output} may not be written with these credentials \(AccessDenied\)"):
        write_rows(output)
    s3.faults.read_only = False
    assert s3.files("read-only") == before
    assert write_rows(output).kept == 16
    assert sha256s(output) == sha256s(local)
