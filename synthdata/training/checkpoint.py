"""Complete training state on disk: tensors as safetensors, everything else as JSON, never a pickle."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from synthdata.errors import FailureError, shortened
from synthdata.reading import read_json
from synthdata.training.run_directory import writing

_NAME = re.compile(r"step-(\d{9})")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write ``state`` as ``folder/step-<step>``, then delete all but the newest ``keep`` checkpoints.

    The checkpoint appears under its name only when it is complete.

    Args:
        state: nested dicts and lists of tensors, numbers, strings, booleans and None.

    Raises:
        FailureError: if the disk is full or the folder cannot be written.
    """
    target = folder / f"step-{step:09d}"
    aside = folder / f".{target.name}.partial"
    tensors: dict[str, Tensor] = {}
    skeleton = _split(state, "", tensors)
    with writing(target):
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            save_file(tensors, aside / "tensors.safetensors")
            (aside / "state.json").write_text(json.dumps(skeleton))
            shutil.rmtree(target, ignore_errors=True)
            os.replace(aside, target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)  # it would keep a full disk full
            raise
        for _, old in _checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in ``folder``, or None."""
    checkpoints = _checkpoints(folder)
    return checkpoints[-1][1] if checkpoints else None


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved at."""
    return int(checkpoint.name.removeprefix("step-"))


def load_checkpoint(path: Path) -> tuple[int, dict[str, Any]]:
    """The step and state that ``save_checkpoint`` wrote; tensors are on the CPU.

    Raises:
        FailureError: if the checkpoint is damaged.
    """
    mend = "delete it to resume from the one before"
    try:
        tensors = load_file(path / "tensors.safetensors")
        state = _join(read_json(path / "state.json", dict[str, Any]), tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, FailureError) as error:
        raise FailureError(f"checkpoint {path} is damaged ({shortened(str(error), 160)}): {mend}") from error
    return step_of(path), state


def tensors_of(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested dicts and lists, with the path that leads to each."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, dict | list | tuple):
        for key, item in state.items() if isinstance(state, dict) else enumerate(state):
            yield from tensors_of(item, f"{name}/{key}" if name else str(key))


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def _split(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` with every tensor moved into ``tensors`` and replaced by a reference; int keys are kept as such."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, _split(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_split(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]}
    return {"value": value}


def _join(value: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "items" in value:
        return {key: _join(item, tensors) for key, item in value["items"]}
    if "list" in value:
        return [_join(item, tensors) for item in value["list"]]
    return value["value"]
