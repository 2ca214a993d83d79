"""Reading what a run left on the disk: every reader of a run's files comes by here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from synthdata.errors import MisuseError
from synthdata.formats import Report, RunConfig
from synthdata.reading import read_json, read_yaml

MEND = "restore it or train again"

T = TypeVar("T")


@dataclass(frozen=True)
class RunFiles:
    """What a run tells of itself.

    Attributes:
        folder: its directory.
        config: the resolved settings; ``data`` is None for a training on synthetic images alone.
        report: scores, seed and versions; empty where the run left none.
    """

    folder: Path
    config: dict[str, Any]
    report: dict[str, Any]


def read_run(folder: Path) -> RunFiles:
    """The settings and the report of a run.

    Raises:
        MisuseError: there is no config.yaml, or a file is damaged.
    """
    config = read_run_file(folder / "config.yaml", RunConfig)
    report = folder / "report.json"
    return RunFiles(folder, dict(config), dict(read_run_file(report, Report)) if report.exists() else {})


def read_run_file(path: Path, kind: type[T]) -> T:
    """A JSON or YAML file of a run.

    Args:
        path: ends in .json or .yaml.
        kind: what it holds, one of `synthdata.formats`.

    Raises:
        MisuseError: it is missing or damaged, or lacks a key, or one has another type.
    """
    try:
        return (read_json if path.suffix == ".json" else read_yaml)(path, kind, MEND, MisuseError)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MisuseError(f"{path.parent} holds no {path.name}: name the directory of a finished run") from error
