"""A tiny run directory with real models, and emissions from it."""

import multiprocessing
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml

from synthdata.data import DataConfig
from synthdata.emission.config import EmissionConfig
from synthdata.emission.dataset import Emission
from synthdata.emission.emit import emit
from synthdata.emission.run import Run, load_run
from synthdata.models import GAN, Encoder, GANConfig
from synthdata.publishing.complete import complete_dataset
from synthdata.views import ViewConfig

CPU = torch.device("cpu")
PROCESSES = multiprocessing.get_context("forkserver")
"""Starts processes that can be killed, and that need not import everything anew."""

PROCESSES.set_forkserver_preload(["synthdata.emission.emit"])
Emit = Callable[..., Emission]


def tiny_gan() -> GAN:
    """A generator that was not trained, but whose images differ, as do its two members."""
    torch.manual_seed(0)
    gan = GAN(GANConfig(latent_dim=8, width=4, max_width=8), image_size=16, channels=1)
    with torch.no_grad():
        for parameter in gan.averages.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return gan


def write_run(folder: Path) -> Path:
    """What a training run on 200 digits leaves behind, as far as emission reads it; returns ``folder``."""
    views = asdict(ViewConfig(crop_scale=(0.5, 1.0), flip_probability=0.0))
    config = {
        "data": asdict(DataConfig(limit=200)),
        "synthetic_views": {name: list(value) if isinstance(value, tuple) else value for name, value in views.items()},
        "train": {"temperature": 0.2},
    }
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    tiny_gan().save_pretrained(folder / "generator")
    torch.manual_seed(1)
    Encoder("resnet8", image_size=16, channels=1, width=4, hidden_dim=16, projection_dim=8).save_pretrained(
        folder / "encoder"
    )
    return folder


def emit_as_the_recipe(config: EmissionConfig) -> Emission:
    """An emission, and the card that belongs to it."""
    emission = emit(config)
    complete_dataset(config.output, page=False)
    return emission


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of `write_run`."""
    return write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def run(run_folder: Path) -> Run:
    """The run directory, opened."""
    return load_run(run_folder, CPU)


@pytest.fixture
def emit_to(run_folder: Path) -> Emit:
    """Emit into a folder: 30 hard samples and 20 pairs in shards of 8, unless told otherwise."""

    def emit_into(output: Path, **changes: object) -> Emission:
        settings = {"hard": 30, "pairs": 20, "shard_size": 8, **changes}
        return emit_as_the_recipe(EmissionConfig(run=str(run_folder), output=str(output), **settings))  # type: ignore[arg-type]

    return emit_into


@pytest.fixture(scope="session")
def dataset(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset that no test may change."""
    output = tmp_path_factory.mktemp("datasets") / "tiny"
    emit_as_the_recipe(EmissionConfig(run=str(run_folder), output=str(output), hard=30, pairs=20, shard_size=8))
    return output
