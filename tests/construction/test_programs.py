"""The programs of other libraries that read relations, on small datasets; and `synthdata construct` as it is typed."""

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import REPOSITORY

from synthdata.cli import main

PROGRAMS = REPOSITORY / "recipes" / "interop"


@pytest.fixture(scope="module")
def folder(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small system of trajectories, triples and responses, and relations of each."""
    folder = tmp_path_factory.mktemp("programs")
    random, before = np.random.default_rng(0), Path.cwd()
    states = random.normal(size=(6, 1, 2)) * np.exp([[-0.05, -0.4]] * np.arange(60)[None, :, None] * 0.2)
    columns = {
        "trajectory": np.repeat(range(6), 60),
        "t": np.tile(np.arange(60) * 0.2, 6),
        "state": list(states.reshape(-1, 2)),
    }
    pq.write_table(pa.table(columns), folder / "trajectories.parquet")
    for part in ("train", "test"):
        pq.write_table(pq.read_table(sources / "triples.parquet"), folder / f"{part}.parquet")
    os.chdir(folder)
    try:
        for arguments in (
            ["partition", "--source", "trajectories.parquet", "--lag", "1", "5", "--overlap", "5", "--holdout", "0.2",
             "--output", "out/windows"],
            ["select_pairs", "--source", str(sources / "responses.jsonl"), "--output", "out/pref"],
            ["hard_negatives", "--source", "train.parquet", "--encoder", "triples", "--embed_rows",
             "--output", "out/negatives"],
        ):  # fmt: skip
            with pytest.raises(SystemExit) as ended:
                main(["construct", *arguments])
            assert ended.value.code == 0
    finally:
        os.chdir(before)
    return folder


def run(name: str, arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(PROGRAMS / name), run_name="__main__")


def test_trl_prefers_what_was_chosen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("trl_dpo.py", [], folder, monkeypatch)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("loss ")]
    margins = [float(line.rpartition(" ")[2]) for line in lines]
    assert len(margins) == 8
    assert margins[0] == 0
    assert max(margins[4:]) > 0


@pytest.mark.parametrize("model", ["distmult", "transe"])
def test_pykeen_ranks_the_true_tails_above_chance(
    model: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("pykeen_negatives.py", [model, "30", "0"], folder, monkeypatch)
    mrr = float(capsys.readouterr().out.splitlines()[-1].split()[1].rstrip(","))
    # Trained triples among 20 entities: at random, the mean reciprocal rank would be 0.18.
    assert 0.3 < mrr <= 1


def test_the_spectral_encoder_finds_the_rates_of_a_linear_system(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("spectral_contrastive.py", ["300"], folder, monkeypatch)
    rates, errors = capsys.readouterr().out.splitlines()[-2:]
    found = [float(rate) for rate in rates.split()[1:]]
    assert any(rate == pytest.approx(-0.4, rel=0.3) for rate in found)
    assert any(rate == pytest.approx(-0.05, rel=0.5) for rate in found)
    assert float(errors.split()[6].rstrip(",")) < 0.05


def test_construct_tells_what_it_wrote_and_verify_checks_it(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = str(sources / "trajectories.parquet")
    commands = [
        ["construct", "partition", "--source", source, "--length", "20", "--output", "out/w"],
        ["verify", "out/w"],
    ]
    told = []
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0
        told.append(capsys.readouterr().out)
    assert told[0].startswith("796 positive, 44 window between 800 rows of trajectories.parquet\n")
    assert 'load_dataset("out/w", "relations", split="train")' in told[0]
    assert told[1] == "out/w is sound: 840 relations in 1 shards\n"
    assert {"README.md", "data", "manifest.json"} <= {path.name for path in (tmp_path / "out/w").iterdir()}
    described = json.loads((tmp_path / "out/w/croissant.json").read_text())
    assert described["description"].startswith("840 relations between the rows of")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["negatives"], ("there is no verb negatives", "hard_negatives")),
        (["hard_negatives", "--kk", "3"], ("there is no setting kk", "nearest is k")),
        (["hard_negatives", "--k", "0"], ("k", "at least 1")),
        (["select_pairs", "--source", "absent.jsonl"], ("absent.jsonl does not exist",)),
    ],
)
def test_misuse_ends_in_one_line(
    arguments: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["construct", *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    for word in words:
        assert word in told
