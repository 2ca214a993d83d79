"""Tiny finished runs to take images out of, trained once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import tiny_config

from synthdata.takedown.before import Before, open_before
from synthdata.takedown.config import TakedownConfig
from synthdata.takedown.takedown import take_down
from synthdata.training import train_joint

ROWS = [10, 11, 15, 92]
"""Two that the tiny run is trained on, and two that it is not."""
SCORED_QUICKLY = {"evaluation__test": False, "evaluation__limit": 60, "evaluation__generated": 20}
TakeDown = Callable[..., dict]


@pytest.fixture(scope="package", autouse=True)
def without_pictures() -> Iterator[None]:
    """Curves and grids take longer to draw than all else that these small runs do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthdata.training.execution.save_curves", lambda metrics, folder: None)
        patch.setattr("synthdata.training.train.save_grid", lambda path, panels: None)
        yield


@pytest.fixture(scope="package")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A joint training on 128 digits; no test may change it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train_joint(tiny_config(folder, **SCORED_QUICKLY, checkpoint__every=2))
    return folder


@pytest.fixture(scope="package")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> Before:
    """A training of an encoder alone, long enough on 64 digits that it can be told who was in it."""
    folder = tmp_path_factory.mktemp("runs") / "memorised"
    views = {"views__crop_scale": "[0.5,1.0]", "views__flip_probability": 0.0, "views__jitter_probability": 0.0}
    small = {"data__image_size": 8, "data__limit": 64, "encoder__width": 8, "encoder__projection_dim": 16}
    train = {"train__batch_size": 48, "train__steps": 240, "train__learning_rate": 5e-3, "train__log_every": 100}
    train_joint(tiny_config(folder, arm="real", **SCORED_QUICKLY, **views, **small, **train))
    return open_before(folder)


@pytest.fixture(scope="package")
def before(run_folder: Path) -> Before:
    """The run, opened."""
    return open_before(run_folder)


@pytest.fixture(scope="package")
def forget(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of ``ROWS``."""
    path = tmp_path_factory.mktemp("lists") / "forget.txt"
    path.write_text("\n".join(map(str, ROWS)))
    return path


@pytest.fixture(scope="package")
def take_down_from(run_folder: Path, forget: Path) -> TakeDown:
    """Take ``ROWS`` out of the run in as many steps as it had, unless told otherwise; returns the report."""

    def take_down_to(output: Path, **changes: object) -> dict:
        settings = {"run": str(run_folder), "forget": str(forget), "share": 1.0, "page": False, **changes}
        return take_down(TakedownConfig(output_dir=str(output), **settings))  # type: ignore[arg-type]

    return take_down_to


@pytest.fixture(scope="package")
def taken_down(take_down_from: TakeDown, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run without ``ROWS``, by calibration; no test may change it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny-2"
    take_down_from(folder)
    return folder
