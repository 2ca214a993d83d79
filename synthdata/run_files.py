"""Reading what a run left on the disk."""

import json
from pathlib import Path
from typing import Any

import yaml

from synthdata.errors import MisuseError


def read_run_file(path: Path) -> dict[str, Any]:
    """A JSON or YAML file of a run.

    Raises:
        MisuseError: it is missing or damaged.
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
    return content
