"""The programs in the README, run as they stand there on a small dataset in the place of out/digits."""

import re
import runpy
from pathlib import Path

import pytest
from emission.conftest import write_run
from processes import REPOSITORY

from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.publishing.card import write_missing_card

SECTION = "Train on the datasets"


def programs(section: str) -> list[str]:
    """The Python programs of a section of the README."""
    text = (REPOSITORY / "README.md").read_text()
    (found,) = re.findall(rf"^## {section}\n(.*?)(?=^## )", text, re.M | re.S)
    return re.findall(r"^```python\n(.*?)^```$", found, re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 80 positive pairs in out/digits."""
    folder = tmp_path_factory.mktemp("readme")
    run = write_run(folder / "run")
    emit(EmissionConfig(run=str(run), output=str(folder / "out" / "digits"), pairs=80, shard_size=40))
    write_missing_card(folder / "out" / "digits")
    return folder


@pytest.mark.parametrize("library", ["lightly", "webdataset", "datasets"])
def test_a_program_of_the_readme_trains_on_an_emitted_dataset(
    library: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = [program for program in programs(SECTION) if re.search(rf"^(from|import) {library}\b", program, re.M)]
    assert program.count("\n") <= 30
    path = folder / f"{library}_program.py"
    path.write_text(program)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
    runpy.run_path(str(path), run_name="__main__")
    losses = [float(line.removeprefix("loss ")) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) >= 2
    assert all(0 < loss < 10 for loss in losses)


def test_only_the_first_program_needs_this_package() -> None:
    assert ["synthdata" in program for program in programs(SECTION)] == [True, False, False]
