from pathlib import Path

import pytest

from synthdata.errors import MisuseError
from synthdata.run_files import read_run_file


def test_json_and_yaml_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"seed": 3}')
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    assert read_run_file(tmp_path / "report.json") == read_run_file(tmp_path / "config.yaml") == {"seed": 3}


def test_a_missing_file_is_told_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=rf"{tmp_path} holds no config\.yaml"):
        read_run_file(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("report.json", b'{"seed": 3', r"report\.json cannot be read"),
        ("report.json", b"[1, 2]", r"report\.json is damaged"),
        ("config.yaml", b"seed: [3", r"config\.yaml cannot be read"),
        ("config.yaml", b"\xff\xfe\x00", r"config\.yaml cannot be read"),
        ("config.yaml", b"", r"config\.yaml is damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MisuseError, match=words):
        read_run_file(tmp_path / name)
