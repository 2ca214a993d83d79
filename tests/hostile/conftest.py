import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import pytest

from hostile.confinement import confined, fingerprint
from synthdata.errors import SynthdataError

Reading = Callable[[], object]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The one folder that may be written; the folder beside it is looked at afterwards."""
    root = tmp_path_factory.mktemp("hostile")
    for name in ("yard", "beside"):
        (root / name).mkdir()
    for name in ("outside.tar", "outside.png", "manifest.json"):
        (root / "beside" / name).write_bytes(b"not to be touched")
    before = fingerprint(root / "beside")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", root / "yard" / "cache")
        patch.chdir(root / "yard")
        datasets.disable_progress_bars()
        logging.disable(logging.WARNING)
        yield root / "yard"
        logging.disable(logging.NOTSET)
        datasets.enable_progress_bars()
    assert fingerprint(root / "beside") == before


@pytest.fixture(scope="module")
def survives(yard: Path) -> Callable[[Reading], None]:
    """`survives(reading)`: it ends well or in an error written for people, and leaves the world outside alone."""

    def check(reading: Reading) -> None:
        with confined(yard), contextlib.suppress(SynthdataError):
            reading()

    return check
