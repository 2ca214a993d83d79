"""A finished run and what was emitted from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from emission.conftest import tiny_gan
from tiny import tiny_config

from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.publishing.model_card import write_model_card
from synthdata.training import train_joint

RUN_BLOCKS = """
import re, sys
for block in re.findall(r"^```python\\n(.*?)^```$", open("README.md", encoding="utf-8").read(), re.M | re.S):
    exec(block, {})
    print("---")
"""


def run_snippets(folder: Path, cache: Path) -> list[str]:
    """Run the Python of a folder's card in that folder, as its reader does; what each snippet printed."""
    finished = subprocess.run(
        [sys.executable, "-c", RUN_BLOCKS],
        cwd=folder,
        env={**os.environ, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split("---\n")[:-1]


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
    emit(EmissionConfig(str(finished_run), str(output), hard=20, pairs=12, shard_size=8, license="cc-by-4.0"))
    return output


@pytest.fixture(scope="session")
def parquet_dataset(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs alone, without a licence, as Parquet."""
    output = tmp_path_factory.mktemp("datasets") / "parquet"
    emit(EmissionConfig(str(finished_run), str(output), pairs=12, format="parquet"))
    return output
