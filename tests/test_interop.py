"""The programs of recipes/interop that read positive pairs, run as they stand there on a small dataset.

Those that read relations are run in tests/construction.
"""

import re
import runpy
from pathlib import Path

import pytest
from emission.conftest import emit_as_the_recipe, write_run
from processes import REPOSITORY

from synthdata.emission.config import EmissionConfig

PROGRAMS = REPOSITORY / "recipes" / "interop"
READING_PAIRS = sorted(path for path in PROGRAMS.glob("*.py") if "out/digits" in path.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 80 positive pairs in out/digits."""
    folder = tmp_path_factory.mktemp("interop")
    run = write_run(folder / "run")
    emit_as_the_recipe(EmissionConfig(run=str(run), output=str(folder / "out" / "digits"), pairs=80, shard_size=40))
    return folder


@pytest.mark.parametrize("program", READING_PAIRS, ids=lambda path: path.stem)
def test_another_library_trains_on_an_emitted_dataset(
    program: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
    runpy.run_path(str(program), run_name="__main__")
    losses = [float(line.removeprefix("loss ")) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) >= 2
    assert all(0 < loss < 10 for loss in losses)


def test_the_readme_names_every_program_and_no_other() -> None:
    named = re.findall(r"recipes/interop/(\w+\.py)", (REPOSITORY / "README.md").read_text())
    assert set(named) == {path.name for path in PROGRAMS.glob("*.py")}


def test_only_the_program_for_lightly_needs_this_package() -> None:
    needing = [path.name for path in PROGRAMS.glob("*.py") if re.search(r"^from synthdata", path.read_text(), re.M)]
    assert needing == ["lightly_simclr.py"]
