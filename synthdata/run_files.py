"""Reading what a run left on the disk: every reader of a run's files comes by here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args

import yaml

from synthdata.errors import MisuseError

_CONFIG = {"data": dict | None, "train": dict, "train.temperature": float}
_NAMES = {dict: "a section", str: "a text", int: "a whole number", float: "a number", NoneType: "null"}


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
    config = read_run_file(folder / "config.yaml", _CONFIG)
    if config["data"] is not None:
        check_keys(folder / "config.yaml", config, {"data.source": str})
    report = folder / "report.json"
    return RunFiles(folder, config, read_run_file(report) if report.exists() else {})


def read_run_file(path: Path, needed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A JSON or YAML file of a run.

    Args:
        path: ends in .json or .yaml.
        needed: keys that it must have, dotted for those of a section, with the type of each.

    Raises:
        MisuseError: it is missing or damaged, or lacks a key, or one has another type.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError as error:
        raise MisuseError(f"{path.parent} holds no {path.name}: name the directory of a finished run") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise MisuseError(f"{path} cannot be read ({error}): restore it or train again") from error
    if not isinstance(content, dict):
        raise MisuseError(f"{path} is damaged (no keys in it): restore it or train again")
    check_keys(path, content, needed or {})
    return content


def check_keys(path: Path, content: dict[str, Any], needed: Mapping[str, Any]) -> None:
    """Raise ``MisuseError`` unless ``content``, which ``path`` holds, has these keys with these types."""
    for key, kind in needed.items():
        *sections, name = key.split(".")
        place: Any = content
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place:
            raise MisuseError(f"{path} has no {key}: name the directory of a finished run")
        value = place[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
            wanted = " or ".join(_NAMES[each] for each in kinds)
            raise MisuseError(f"{path} has {key} {value}, which is not {wanted}: restore it or train again")
