"""Datasets of more shards than one JSON lists: a table of them stands beside the plan, then beside the manifest."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from synthdata.benchmarks.planning import planning_steps
from synthdata.data.dataset_files import DatasetFiles
from synthdata.emission import read_manifest, verify_dataset
from synthdata.emission.manifest import begin, read_plan, record, recorded_paths
from synthdata.errors import FailureError, MisuseError
from synthdata.formats import shard_path
from synthdata.manifests import joined, load_manifest, split_off
from synthdata.stores import open_store


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 25 shards, which its manifest lists."""
    folder = tmp_path_factory.mktemp("small")
    planning_steps(2_500, 100, folder)
    return folder


@pytest.fixture
def five(monkeypatch: pytest.MonkeyPatch) -> None:
    """A JSON lists five shards at most."""
    monkeypatch.setattr("synthdata.manifests.MOST_IN_JSON", 5)


@pytest.fixture
def large(five: None, tmp_path: Path) -> Path:
    """The same dataset, with a table of its shards."""
    planning_steps(2_500, 100, tmp_path)
    return tmp_path


@pytest.fixture
def memory() -> Iterator[str]:
    MemoryFileSystem.store.clear()
    yield "memory://bucket/set"
    MemoryFileSystem.store.clear()


def table_of(folder: Path) -> Path:
    [table] = folder.glob("shards-*.parquet")
    return table


def test_a_manifest_with_a_table_tells_what_one_without_tells(large: Path, small: Path) -> None:
    told = json.loads((large / "manifest.json").read_text())
    assert (told["format"], told["shards"]["file"], told["shards"]["rows"]) == (2, table_of(large).name, 25)
    assert read_manifest(large) == read_manifest(small) | {"format": 2}
    assert load_manifest(large / "manifest.json")["shards"] == read_manifest(small)["shards"]
    assert DatasetFiles.of(str(large)).shards() == DatasetFiles.of(str(small)).shards()
    assert pq.read_table(table_of(large)).column("first_row").to_pylist() == list(range(0, 2_500, 100))
    assert verify_dataset(large) == []
    assert not (large / ".emission").exists()


def test_a_manifest_that_lists_its_shards_stays_readable_to_older_versions(small: Path) -> None:
    told = json.loads((small / "manifest.json").read_text())
    assert told["format"] == 1
    assert len(told["shards"]) == 25
    assert not list(small.glob("*.parquet"))


def test_an_unfinished_emission_goes_on_from_the_table_of_its_plan(five: None, small: Path, memory: str) -> None:
    manifest, store = read_manifest(small), open_store(memory)
    shards = manifest["shards"]
    plan = {part: manifest[part] for part in ("settings", "run", "criteria", "made_with")}
    planned = [{name: shard[name] for name in ("path", "kind", "first_row", "rows")} for shard in shards]
    first = begin(store, plan | {"shards": planned})
    others = [planned[0] | {"rows": 7}]
    assert begin(store, plan | {"shards": others * 9}) == first  # whoever comes second gets the plan that counts
    record(store, shards[0])
    resumed = read_plan(store)
    assert resumed == first
    assert recorded_paths(store, resumed) == {shards[0]["path"]}


def test_a_process_that_begins_late_leaves_no_table_behind(large: Path, small: Path) -> None:
    plan = read_plan(large)
    assert begin(large, {"settings": "of the late process", "shards": read_manifest(small)["shards"]}) == plan
    assert not (large / ".emission").exists()


def test_hashes_that_only_some_shards_have_stay_with_these(five: None, small: Path, tmp_path: Path) -> None:
    manifest = read_manifest(small)
    manifest["shards"][3]["md5"] = "0" * 32
    told, table = split_off(manifest)
    (tmp_path / told["shards"]["file"]).write_bytes(table)
    assert joined(told, lambda file: tmp_path / file) == manifest


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda table: table.unlink(), r"manifest.json is damaged \(shards-\w+.parquet, which it names, is missing"),
        (lambda table: (table.unlink(), os.mkfifo(table)), "is missing or no file"),
        (lambda table: table.write_bytes(table.read_bytes()[:-9]), r"its sha256 is not the one told"),
    ],
)
def test_a_table_that_is_lost_or_altered_is_told_in_one_line(large: Path, damage: Any, told: str) -> None:
    damage(table_of(large))
    with pytest.raises(FailureError, match=told) as raised:
        read_manifest(large)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ({"file": "../shards-0.parquet"}, "shards.file"),
        ({"file": "/etc/passwd"}, "shards.file"),
        ({"rows": 3_000_000}, "shards.rows"),
        ({"rows": 24}, "25 rows, not 24"),
    ],
)
def test_a_reference_that_leads_elsewhere_or_lies_is_told(large: Path, reference: dict[str, Any], told: str) -> None:
    manifest = json.loads((large / "manifest.json").read_text())
    (large / "manifest.json").write_text(json.dumps(manifest | {"shards": manifest["shards"] | reference}))
    with pytest.raises(FailureError, match=told):
        read_manifest(large)


def test_a_newer_manifest_is_told_as_such_whatever_stands_for_its_shards(large: Path) -> None:
    manifest = json.loads((large / "manifest.json").read_text())
    (large / "manifest.json").write_text(json.dumps(manifest | {"format": 3, "shards": {"url": "x"}}))
    with pytest.raises(MisuseError, match="format 3, and this version reads 2"):
        read_manifest(large)


def test_names_sort_as_rows_do_beyond_a_hundred_thousand_shards() -> None:
    names = [shard_path("hard", number, 1_000_000, "webdataset") for number in (9, 99_999, 100_000, 999_999)]
    assert names == sorted(names)
    assert names[0].endswith("hard-000009-of-1000000.tar")
