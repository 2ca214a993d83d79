from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from synthdata.emission.run import load_run
from synthdata.errors import MisuseError
from synthdata.formats import Report
from synthdata.publishing.model_card import write_model_card
from synthdata.run_files import read_run, read_run_file


def test_json_and_yaml_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"seed": 3}')
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    for name in ("report.json", "config.yaml"):
        assert read_run_file(tmp_path / name, Report) == {"seed": 3}


def test_a_missing_file_is_told_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=rf"{tmp_path} holds no config\.yaml"):
        read_run_file(tmp_path / "config.yaml", Report)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("report.json", b'{"seed": 3', r"report\.json is damaged \(no JSON"),
        ("report.json", b"[1, 2]", r"report\.json is damaged"),
        ("config.yaml", b"seed: [3", r"config\.yaml is damaged \(no YAML"),
        ("config.yaml", b"\xff\xfe\x00", r"config\.yaml is damaged \(no UTF-8"),
        ("config.yaml", b"", r"config\.yaml is damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MisuseError, match=words):
        read_run_file(tmp_path / name, Report)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("data: {source: digits}\n", r"\(no train\)"),
        ("data: {source: digits}\ntrain: null\n", "train is null: it must be names with values"),
        ("data: {source: digits}\ntrain: {}\n", r"\(no train\.temperature\)"),
        ("data: {source: digits}\ntrain: {temperature: warm}\n", r'train\.temperature is "warm": it must be a number'),
        ("data: digits\ntrain: {temperature: 0.2}\n", 'data is "digits": it must be names with values or null'),
        ("data: {}\ntrain: {temperature: 0.2}\n", r"\(no data\.source\)"),
        ("data: {source: 3}\ntrain: {temperature: 0.2}\n", r"data\.source is 3: it must be text"),
    ],
)
@pytest.mark.parametrize("read", [read_run, write_model_card, lambda run: load_run(run, torch.device("cpu"))])
def test_whoever_reads_a_run_names_what_is_wrong_with_its_settings_alike(
    tmp_path: Path, config: str, words: str, read: Callable[[Path], object]
) -> None:
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(MisuseError, match=rf"config\.yaml.*{words}"):
        read(tmp_path)


def test_a_run_without_a_report_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: null\ntrain: {temperature: 0.2}\n")
    assert read_run(tmp_path).report == {}
