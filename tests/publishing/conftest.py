"""A finished run and what was emitted from it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from emission.conftest import tiny_gan
from tiny import tiny_config

from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.publishing.complete import complete_dataset
from synthdata.publishing.model_card import write_model_card
from synthdata.training import train_joint

RunSnippets = Callable[[Path, Path], list[str]]


@pytest.fixture
def run_snippets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> RunSnippets:
    """Run the Python of a folder's card in a working directory, as its reader does; gives what each snippet printed."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def run(folder: Path, working_directory: Path) -> list[str]:
        monkeypatch.chdir(working_directory)
        card, printed = (folder / "README.md").read_text(encoding="utf-8"), []
        for block in re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S):
            capsys.readouterr()
            exec(block, {})
            printed.append(capsys.readouterr().out)
        return printed

    return run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny joint training; its generator is replaced by one whose two members differ visibly."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train_joint(tiny_config(folder, evaluation__labels=[20]))
    tiny_gan().save_pretrained(folder / "generator")
    write_model_card(folder)
    return folder


@pytest.fixture(scope="session")
def tar_dataset(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hard samples and pairs with a licence, as WebDataset."""
    output = tmp_path_factory.mktemp("datasets") / "tar"
    emit(
        EmissionConfig(run=str(finished_run), output=str(output), hard=20, pairs=12, shard_size=8, license="cc-by-4.0")
    )
    complete_dataset(output)
    return output


@pytest.fixture(scope="session")
def parquet_dataset(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs alone, without a licence, as Parquet; the folder has the name of a builder of `datasets`."""
    output = tmp_path_factory.mktemp("datasets") / "parquet"
    emit(EmissionConfig(run=str(finished_run), output=str(output), pairs=12, format="parquet"))
    complete_dataset(output)
    return output
