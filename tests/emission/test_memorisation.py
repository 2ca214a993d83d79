"""No near copy of a training image is emitted, whatever the generator replays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthdata.emission import read_manifest
from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit_run
from synthdata.emission.run import Run
from synthdata.errors import FailureError

from .conftest import CPU
from .reading import rows_of
from .replaying import ReplayingGenerator


def replaying(run: Run, share: float, noise: float = 0.0) -> Run:
    assert run.images.pixels is not None
    return replace(run, generator=ReplayingGenerator(run.images.pixels, share, noise))  # type: ignore[arg-type]


def least_distances(run: Run, folder: Path, kind: str) -> list[float]:
    """Root mean square distance of every emitted image to its nearest training image, by exhaustive search."""
    assert run.images.pixels is not None
    real = run.images.pixels.double().flatten(1).numpy() / 255
    made = np.stack([image.double().flatten().numpy() / 255 for _, images in rows_of(folder, kind) for image in images])
    return np.sqrt(((made[:, None] - real[None]) ** 2).mean(2)).min(1).tolist()


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_no_replay_gets_through(run: Run, tmp_path: Path, noise: float):
    folder = tmp_path / "out"
    emit_run(replaying(run, share=0.5, noise=noise), EmissionConfig(output=str(folder), hard=40, pairs=30), CPU)
    manifest = read_manifest(folder)
    for kind in ("hard", "pairs"):
        assert manifest["kinds"][kind]["dropped"]["memorised"] > 0
        # a replay lies at most this far from its image, and nothing else came near one
        assert min(least_distances(run, folder, kind)) > noise + 0.02


def test_a_generator_that_only_replays_emits_nothing(run: Run, tmp_path: Path):
    config = EmissionConfig(output=str(tmp_path / "out"), hard=4)
    with pytest.raises(FailureError, match=r"100% memorised\): lower --memorisation_quantile"):
        emit_run(replaying(run, share=1.0), config, CPU)
    assert not list((tmp_path / "out").rglob("*.tar"))
