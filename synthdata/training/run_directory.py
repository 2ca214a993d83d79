"""What a run leaves behind, and where."""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError

from synthdata.claims import claimed
from synthdata.errors import FailureError, MisuseError
from synthdata.formats import MetricsLine
from synthdata.reading import UnsoundError, checked, parse_json
from synthdata.run_files import read_run_file


class RunDirectory:
    """The folder of one training run: what it was told, what it measured, and what it made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.encoder = path / "encoder"
        self.generator = path / "generator"
        self.report = path / "report.json"
        self.progress = path / "progress.json"

    def open(self, config: Any, resume: bool) -> None:
        """Make the folder for a new run, or check that it holds the run to be resumed.

        Args:
            config: the resolved configuration, a dataclass.

        Raises:
            MisuseError: if a new run would overwrite another, or the run there has another configuration.
            FailureError: if the folder cannot be written.
        """
        settings = as_plain(config)
        with writing(self.path):
            if not self.config.exists():
                self.path.mkdir(parents=True, exist_ok=True)
                write_aside(self.config, yaml.safe_dump(settings, sort_keys=False))
                return
        if not resume:
            mend = "add --resume true to go on with it, or name another --output_dir"
            raise MisuseError(f"{self.path} holds a run: {mend}")
        self._check_same(settings, as_plain(type(config)()))

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other launches from this run while it is worked on.

        Raises:
            MisuseError: another launch is at work on it.
            FailureError: the folder cannot be written.
        """
        with contextlib.ExitStack() as stack:
            with writing(self.path):
                stack.enter_context(claimed(self.path / ".claim", str(self.path)))
            yield

    def write_json(self, path: Path, content: dict[str, Any]) -> None:
        """Write ``content`` to a file of the run, whole or not at all."""
        write_aside(path, json.dumps(content, indent=2) + "\n")

    def cut_metrics(self, iteration: int) -> None:
        """Drop the metrics from ``iteration`` on, which are about to be computed again."""
        if not self.metrics.exists():
            return
        kept = [line for line in self.metrics.read_text().splitlines() if _iteration(line) < iteration]
        write_aside(self.metrics, "".join(f"{line}\n" for line in kept))

    def replace_folder(self, folder: Path, write: Callable[[Path], object]) -> None:
        """Let ``write(path)`` fill a folder aside, then put it in the place of ``folder``."""
        aside = folder.with_name(f".{folder.name}.partial")
        with writing(folder):
            try:
                shutil.rmtree(aside, ignore_errors=True)
                write(aside)
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(aside, folder)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise

    def _check_same(self, settings: dict[str, Any], defaults: dict[str, Any]) -> None:
        now, before = flatten(settings), flatten(read_run_file(self.config, dict[str, Any]))
        # a run that an earlier version began lacks the settings that came since
        before = {key: value for key, value in flatten(defaults).items() if key in now} | before
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed:
            key = changed[0]
            raise MisuseError(
                f"{self.path} holds a run with {key} {before.get(key)}, not {now.get(key)}"
                + (f" (and {len(changed) - 1} more differences)" if len(changed) > 1 else "")
                + ": resume with the same configuration, or name another output folder"
            )


def dataset_folder(run: Path) -> Path:
    """Where the dataset of a run goes: of ``…/runs/NAME`` to ``…/out/NAME``, of any other to its own ``dataset``.

    Two runs never share one, wherever a program is started.
    """
    absolute = Path(os.path.abspath(run))
    if absolute.parent.name != "runs":
        return run / "dataset"
    folder = absolute.parents[1] / "out" / absolute.name
    return folder if run.is_absolute() else Path(os.path.relpath(folder))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise ``FailureError`` if ``path`` cannot be written: a full disk, a missing permission."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        mend = "make room or name another output folder; a run that has checkpoints goes on with --resume true"
        raise FailureError(f"cannot write {path}: {reason}; {mend}") from error


def as_plain(config: Any) -> dict[str, Any]:
    """A configuration as plain dicts and lists, without the keys that say where and how it is run."""
    plain = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    for key in ("output_dir", "resume", "page"):
        plain.pop(key, None)
    return plain


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def write_aside(path: Path, text: str) -> None:
    """Write a file so that it is seen whole or not at all."""
    aside = path.with_name(f".{path.name}.partial")
    with writing(path):
        try:
            aside.unlink(missing_ok=True)
            aside.write_text(text)
            os.replace(aside, path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def _iteration(line: str) -> int:
    try:
        return checked(parse_json(line), MetricsLine)["iteration"]
    except UnsoundError:
        return 2**62  # a line cut short by a kill: its iteration comes again
