"""A running loopback Hub, and what a client process needs to find it and nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .server import LoopbackHub

REPOSITORY = Path(__file__).parents[2]
TOKEN = "hf_loopbackSecretOfAda"
OTHER_TOKEN = "hf_loopbackSecretOfBob"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """An empty Hub with the accounts ``ada`` and ``bob``."""
    with LoopbackHub({TOKEN: "ada", OTHER_TOKEN: "bob"}).running() as hub:
        yield hub


@pytest.fixture
def environment(hub: LoopbackHub, tmp_path: Path) -> dict[str, str]:
    """The environment of a client of ``hub`` who is logged in as ``ada`` and has an empty cache."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HOME": str(tmp_path),
        "NO_PROXY": "*",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY),
        # Saves each client of datasets the import of torch, which it needs for nothing that is read here.
        "USE_TORCH": "0",
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run a client as a process: ``run("hf", "upload", …)``, ``run("python", "-c", …)`` or ``run("synthdata", …)``.

    Keyword arguments change the environment; ``None`` takes a variable away.
    """

    def run(program: str, *arguments: str | Path, **changes: str | None) -> subprocess.CompletedProcess[str]:
        programs = {
            "python": [sys.executable],
            "synthdata": [sys.executable, "-m", "synthdata.cli"],
            "hf": [str(Path(sys.executable).with_name("hf"))],
        }
        changed = {**environment, **changes}
        return subprocess.run(
            [*programs[program], *map(str, arguments)],
            env={name: value for name, value in changed.items() if value is not None},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
