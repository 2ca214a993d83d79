"""Datasets of relations: what is written, that it depends on rows and seed alone, and that damage is told."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hub.samples import write_webdataset

from synthdata.construction.config import (
    Config,
    HardNegativesConfig,
    PartitionConfig,
    RegionMaskConfig,
    SelectPairsConfig,
)
from synthdata.construction.construct import construct
from synthdata.construction.encoding import relation_of
from synthdata.construction.sources import open_source
from synthdata.construction.verify import verify_relations
from synthdata.data.dataset_files import DatasetFiles
from synthdata.data.negatives import read_relations
from synthdata.emission import read_manifest, verify_dataset
from synthdata.errors import MisuseError, SynthdataError
from synthdata.publishing.card import write_dataset_card


def digests(folder: Path) -> list[str]:
    return [shard["sha256"] for shard in read_manifest(folder)["shards"]]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return list(read_relations(DatasetFiles.of(str(folder))))


def of_every_strategy(sources: Path) -> list[Config]:
    return [
        HardNegativesConfig(source=str(sources / "triples.parquet"), encoder="triples"),
        SelectPairsConfig(source=str(sources / "responses.jsonl")),
        PartitionConfig(source=str(sources / "trajectories.parquet"), negatives=1),
        RegionMaskConfig(source=f"csv:{sources / 'sequences.csv'}", split_column="split"),
    ]


@pytest.mark.parametrize("file_format", ["parquet", "webdataset"])
@pytest.mark.parametrize("strategy", range(4))
def test_what_is_written_is_what_was_proposed(sources: Path, tmp_path: Path, strategy: int, file_format: Any):
    config = replace(
        of_every_strategy(sources)[strategy], output=str(tmp_path / "out"), format=file_format, shard_size=100
    )
    written = construct(config)
    assert written.manifest is not None
    rows = open_source(config.source)
    if config.encoder is None:
        expected = [relation for unit in config.propose(rows, 0) for relation in unit]
        assert [relation_of(columns) for columns in rows_of(tmp_path / "out")] == expected
    told = written.manifest["construction"]
    assert told["strategy"] == config.name
    assert sum(told["relations"].values()) == told["rows"] == written.manifest["kinds"]["relations"]["rows"]
    assert written.manifest["run"]["source"] == rows.identity
    assert verify_dataset(tmp_path / "out") == verify_relations(tmp_path / "out") == []


@pytest.mark.parametrize("file_format", ["parquet", "webdataset"])
@pytest.mark.parametrize("strategy", range(4))
def test_a_dataset_loads_with_no_code_of_ours(
    sources: Path, tmp_path: Path, strategy: int, file_format: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    config = replace(
        of_every_strategy(sources)[strategy], output=str(tmp_path / "out"), format=file_format, embed_rows=True
    )
    construct(config)
    write_dataset_card(tmp_path / "out")
    loaded = load_dataset(str(tmp_path / "out"), "relations", split="train")
    rows = [row["json"] if file_format == "webdataset" else row for row in loaded]
    assert [row["anchor"] for row in rows] == [row["anchor"] for row in rows_of(tmp_path / "out")]
    told = {
        "hard_negatives": {"anchor_head", "anchor_relation", "anchor_tail", "other_tail"},
        "select_pairs": {"prompt", "chosen", "rejected"},
        "partition": {"anchor_state", "other_state", "anchor_t"},
        "region_mask": {"anchor_sequence"},
    }
    assert told[config.name] <= rows[0].keys()


def test_shards_do_not_depend_on_the_number_of_workers(sources: Path, negatives: Path, tmp_path: Path):
    for worker in (2, 0, 1):
        finished = construct(
            HardNegativesConfig(
                source="digits",
                encoder=str(sources / "encoder"),
                output=str(tmp_path / "out"),
                shard_size=1500,
                worker=worker,
                workers=3,
            )
        )
    assert finished.manifest is not None
    assert digests(tmp_path / "out") == digests(negatives)


def test_an_interrupted_construction_goes_on_and_a_lost_shard_comes_back(sources: Path, tmp_path: Path):
    config = PartitionConfig(
        source=str(sources / "trajectories.parquet"), negatives=2, output=str(tmp_path / "out"), shard_size=300
    )
    construct(replace(config, output=str(tmp_path / "whole")))
    assert construct(replace(config, worker=1, workers=2)).manifest is None
    resumed = construct(config)
    assert 0 < resumed.kept < resumed.kept + resumed.rows == len(rows_of(tmp_path / "whole"))
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    (tmp_path / "out/data/relations/relations-00003-of-00009.parquet").unlink()
    assert construct(config).rows == 300
    assert verify_dataset(tmp_path / "out") == []


def test_other_settings_and_other_rows_are_refused(sources: Path, negatives: Path, tmp_path: Path):
    output = shutil.copytree(negatives, tmp_path / "out")
    config = HardNegativesConfig(source="digits", encoder=str(sources / "encoder"), output=str(output), shard_size=1500)
    with pytest.raises(MisuseError, match="was begun with --k 3, not 4"):
        construct(replace(config, k=4))
    with pytest.raises(MisuseError, match=r"source rows was 1197, is 24"):
        construct(replace(config, source=str(sources / "responses.jsonl"), encoder=None))


def test_copied_rows_are_those_of_the_source(sources: Path, tmp_path: Path):
    config = HardNegativesConfig(source="digits", encoder=str(sources / "encoder"), embed_rows=True, k=1)
    construct(replace(config, output=str(tmp_path / "out")))
    digits = open_source("digits")
    labels = dict(zip(digits.ids.tolist(), digits.values("label").tolist(), strict=True))
    loaded = load_dataset("parquet", data_files=str(tmp_path / "out/data/relations/*.parquet"), split="train")
    for row in loaded.select(range(50)):
        assert row["anchor_label"] == labels[row["anchor"]]
        assert row["other_label"] == [labels[row["other"][0]]]
        for column, source_row in (("image_anchor", row["anchor"]), ("image_other", row["other"][0])):
            assert np.array_equal(np.array(row[column]), digits.images.rows.read(source_row))  # type: ignore[union-attr]


def test_pairs_of_an_emitted_dataset_are_candidates_for_a_rater(sources: Path, tmp_path: Path):
    emitted = write_webdataset(tmp_path / "emitted", rows=12)
    config = SelectPairsConfig(
        source=f"pairs:{emitted}", encoder=str(sources / "encoder"), share=0.5, output=str(tmp_path / "out")
    )
    construct(config)
    chosen = load_dataset("parquet", data_files=str(tmp_path / "out/data/relations/*.parquet"), split="train")
    assert len(chosen) == 6
    assert {row["weight"] for row in chosen} == {0}
    assert all(row["anchor"] // 2 == row["other"][0] // 2 == row["prompt"] for row in chosen)
    assert chosen[0]["image_response_a"].size == chosen[0]["image_response_b"].size == (8, 8)


def test_texts_and_triples_are_embedded_without_a_model(sources: Path, tmp_path: Path):
    rows = json.loads("[" + (sources / "responses.jsonl").read_text().strip().replace("\n", ",") + "]")
    (tmp_path / "plain.jsonl").write_text(
        "".join(json.dumps({name: row[name] for name in ("prompt", "response")}) + "\n" for row in rows)
    )
    config = SelectPairsConfig(source=str(tmp_path / "plain.jsonl"), output=str(tmp_path / "out"))
    with pytest.raises(MisuseError, match="has no column embedding: give --encoder tfidf"):
        construct(config)
    construct(replace(config, encoder="tfidf"))
    (first, *_) = load_dataset("parquet", data_files=str(tmp_path / "out/data/relations/*.parquet"), split="train")
    assert first["prompt"] == "question 0"
    assert {"response_a", "response_b"} <= first.keys()
    for source, encoder in (("digits", "the folder of an encoder"), (str(sources / "triples.parquet"), "triples")):
        with pytest.raises(MisuseError, match=f"give --encoder {encoder}"):
            construct(HardNegativesConfig(source=source, output=str(tmp_path / "none")))


def test_the_card_tells_settings_audit_and_the_loading_call(negatives: Path, tmp_path: Path):
    folder = shutil.copytree(negatives, tmp_path / "card")
    write_dataset_card(folder)
    card = (folder / "README.md").read_text()
    told = read_manifest(folder)["construction"]
    assert "synthdata construct hard_negatives" in card
    assert f"| false negative rate | {told['audit']['false_negative_rate']} |" in card
    assert 'load_dataset("./card", "relations", split="train")' in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("anchor", 5000, "relation 7: it names a row that is not one of 1,197"),
        ("other", [-1], "relation 7: it names a row that is not one of 1,197"),
        ("other", [], "relation 7: it has no other row"),
        ("kind", "neighbour", "relation 7: it has kind 'neighbour'"),
        ("weight", -1.0, "relation 7: its weight is -1.0"),
        ("index", 9, "relation 7: it has number 9"),
        ("mask", [2], "relation 7: its mask is not of 0 and 1"),
        ("kind", "positive", r"there are .*'positive': 1.* relations, not \{'negative': 3591\}"),
    ],
)
def test_a_broken_relation_is_named(negatives: Path, tmp_path: Path, column: str, value: Any, words: str):
    folder = shutil.copytree(negatives, tmp_path / "broken")
    path = folder / "data/relations/relations-00000-of-00003.parquet"
    table = pq.read_table(path)
    columns = table.to_pydict()
    columns[column][7] = value
    pq.write_table(pa.table(columns, table.schema), path)
    assert any(re.search(words, told) for told in verify_relations(folder))
    assert verify_relations(negatives) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("absent.parquet", "absent.parquet does not exist"),
        ("csv:absent", "absent does not exist"),
        ("digit", "digit is a source of no known kind; did you mean digits?"),
        ("responses", "responses is a source of no known kind"),
        ("digits:3", "the built-in digits take no argument"),
    ],
)
def test_a_source_that_is_not_there_is_told(tmp_path: Path, source: str, words: str):
    with pytest.raises(MisuseError, match=words):
        construct(HardNegativesConfig(source=source, output=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_an_encoder_of_images_needs_images(sources: Path, tmp_path: Path):
    config = HardNegativesConfig(source=str(sources / "responses.jsonl"), encoder=str(sources / "encoder"))
    with pytest.raises(MisuseError, match="has no images for --encoder to embed"):
        construct(replace(config, output=str(tmp_path / "out")))


def test_a_damaged_table_is_told(tmp_path: Path):
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SynthdataError, match=r"cut.parquet cannot be (read|loaded)"):
        construct(HardNegativesConfig(source=str(tmp_path / "cut.parquet"), output=str(tmp_path / "out")))
