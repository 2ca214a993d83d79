"""What a dataset directory says of itself, while it is being made and when it is done.

While shards are made, a hidden folder holds the plan and one small record for each finished shard. Finishing joins them
into manifest.json and removes the folder. The card is written afterwards, by whoever had the dataset made.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from synthdata.emission.checks import check_known, checked_manifest, checked_plan, checked_record
from synthdata.emission.files import disk_errors, write_json
from synthdata.emission.kinds import CANDIDATES, DECIMALS, KINDS, Kind
from synthdata.emission.plan import Shard
from synthdata.errors import FailureError, MisuseError
from synthdata.formats import FORMAT, inside
from synthdata.reading import read_checked

MANIFEST = "manifest.json"
CARD = "README.md"
CROISSANT = "croissant.json"
PAGE = "index.html"
WORK = ".emission"
PLAN = "plan.json"

_PLANNED = tuple(field.name for field in fields(Shard))
_PARTS = ("settings", "run", "criteria", "construction", "made_with", "shards")

Plan = dict[str, Any]
"""What is fixed before the first row is made: settings, run (identity), training (its report), criteria and fidelity by
kind, made_with, and shards."""

Record = dict[str, Any]
"""A finished shard: path, kind, first_row, rows, bytes, sha256, and the summary of its tally."""


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """The manifest of a finished dataset.

    Raises:
        MisuseError: there is none, or it is of a newer format.
        FailureError: it is damaged, as it is if a shard in it has another path than the plan gives it.
    """
    folder = Path(folder)
    try:
        return dict(read_checked(folder / MANIFEST, checked_manifest))
    except (FileNotFoundError, NotADirectoryError) as error:
        begun = (folder / WORK / PLAN).is_file()
        mend = (
            "its emission is not finished: run the same command again" if begun else "name the directory of a dataset"
        )
        raise MisuseError(f"{folder} holds no {MANIFEST}: {mend}") from error


def manifest_digest(path: Path) -> str:
    """The sha256 of a manifest's bytes, by which another dataset names the one that it supersedes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_plan(folder: Path) -> Plan | None:
    """The plan of the dataset that was begun or finished in ``folder``, None if there is none.

    Raises:
        FailureError: it is damaged.
    """
    # The plan is only removed once there is a manifest, so that one of the two is found while another process finishes.
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mend = "restore it, or remove the folder and emit again"
        return dict(read_checked(inside(folder, f"{WORK}/{PLAN}"), checked_plan, mend))
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        planned = [{name: shard[name] for name in _PLANNED} for shard in manifest["shards"]]
        return {part: manifest[part] for part in _PARTS if part in manifest} | {"shards": planned}
    return None


def begin(folder: Path, plan: Plan) -> Plan:
    """Record ``plan``, unless another process has already done so; returns the one that counts."""
    own = folder / WORK / f"{PLAN}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):  # others have finished the dataset and removed the work folder
        write_json(own, plan)
        with contextlib.suppress(FileExistsError):
            os.link(own, folder / WORK / PLAN)
        own.unlink()
    recorded = read_plan(folder)
    assert recorded is not None
    return recorded


def check_same(folder: Path, plan: Plan, settings: dict[str, Any], run: dict[str, Any]) -> None:
    """Raise ``MisuseError`` when ``folder`` was begun with other settings, or for another run."""
    for name, value in settings.items():
        if (old := plan["settings"].get(name)) != value:
            raise MisuseError(f"{folder} was begun with --{name} {old}, not {value}: give that, or another --output")
    for path, value in _leaves(run):
        if (old := dict(_leaves(plan["run"])).get(path)) != value:
            raise MisuseError(
                f"{folder} was begun for another run ({path} was {old}, is {value}): give another --output"
            )


def _leaves(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name} ")
        else:
            yield f"{path}{name}", value


def record(folder: Path, shard: Record) -> None:
    """Note that a shard is finished."""
    write_json(_record_path(folder, shard["path"]), shard)


def recorded(folder: Path) -> dict[str, Record]:
    """The finished shards, by path, as they were when they were finished."""
    records = {}
    if not (folder / MANIFEST).exists():
        plan = read_plan(folder) or {"shards": []}
        for shard in plan["shards"]:
            with contextlib.suppress(FileNotFoundError):
                records[shard["path"]] = _read_record(folder, shard, plan)
    if (folder / MANIFEST).exists():  # possibly written by another process, which then removes the records
        return {shard["path"]: shard for shard in read_manifest(folder)["shards"]}
    return records


def finish_dataset(folder: Path | str) -> dict[str, Any] | None:
    """Write the manifest of a dataset whose shards are all made, and remove the work folder.

    Returns:
        The manifest, or None if another process finished the dataset at the same time.

    Raises:
        MisuseError: there is no emission in ``folder``.
        FailureError: shards are not made yet.
    """
    folder = Path(folder)
    try:
        plan_file = (folder / WORK / PLAN).open("rb")
    except OSError:
        return read_manifest(folder)
    with plan_file, disk_errors(folder):
        fcntl.flock(plan_file, fcntl.LOCK_EX)
        if not (folder / WORK / PLAN).exists():
            return None
        if not (folder / MANIFEST).exists():
            manifest = _manifest(folder)
            for name in (CARD, CROISSANT, PAGE):
                (folder / name).unlink(missing_ok=True)  # whatever it tells of, it is no manifest of this dataset
            write_json(folder / MANIFEST, manifest)
        _clear(folder / WORK)
    return read_manifest(folder)


def _clear(work: Path) -> None:
    """Remove the work folder; the plan goes last, so that an interrupted removal is taken up again."""
    for path in sorted(work.iterdir(), key=lambda path: path.name == PLAN):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another process may just have begun, and removes it when it is done
        work.rmdir()


def _manifest(folder: Path) -> dict[str, Any]:
    plan, records = read_plan(folder), recorded(folder)
    assert plan is not None
    missing = [shard["path"] for shard in plan["shards"] if shard["path"] not in records]
    if missing:
        raise FailureError(
            f"{len(missing)} of {len(plan['shards'])} shards of {folder} are not made yet, the first is {missing[0]}: "
            "run the workers that make them, then finish"
        )
    shards = [records[shard["path"]] for shard in plan["shards"]]
    selected: dict[Kind, None] = dict.fromkeys(shard["kind"] for shard in shards)
    check_known(selected, folder)
    kinds = {kind: _summary(kind, plan["criteria"][kind], shards) for kind in selected}
    return {"format": FORMAT, **plan, "kinds": kinds, "shards": [_without_summary(shard) for shard in shards]}


def _without_summary(shard: Record) -> Record:
    return {name: value for name, value in shard.items() if name != "summary"}


def _summary(kind: Kind, criteria: dict[str, Any], shards: Sequence[Record]) -> dict[str, Any]:
    """Rows, bytes, candidates, drops and columns of all shards of ``kind``."""
    of_kind = [shard for shard in shards if shard["kind"] == kind]
    summaries = [shard["summary"] for shard in of_kind]
    return {
        "rows": sum(shard["rows"] for shard in of_kind),
        "bytes": sum(shard["bytes"] for shard in of_kind),
        "candidates": sum(summary["candidates"] for summary in summaries),
        "dropped": {
            reason: sum(summary["dropped"].get(reason, 0) for summary in summaries)
            for reason in summaries[0]["dropped"]
        },
        "columns": {
            name: {
                **_column([summary["columns"][name] for summary in summaries]),
                "edges": criteria["edges"][KINDS[kind].score if name == CANDIDATES else name],
            }
            for name in (*criteria["edges"], *([CANDIDATES] if KINDS[kind].score else []))
        },
    }


def _column(columns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    units, count = sum(column["units"] for column in columns), sum(column["count"] for column in columns)
    return {
        "mean": round(units / 10**DECIMALS / count, DECIMALS),
        "min": min(column["min"] for column in columns),
        "max": max(column["max"] for column in columns),
        "histogram": [sum(counts) for counts in zip(*(column["histogram"] for column in columns), strict=True)],
    }


def _read_record(folder: Path, shard: dict[str, Any], plan: Plan) -> Record:
    edges, mend = plan["criteria"][shard["kind"]]["edges"], "remove it and run the same command again"
    return dict(
        read_checked(_record_path(folder, shard["path"]), lambda tree: checked_record(tree, shard, edges), mend)
    )


def _record_path(folder: Path, shard: str) -> Path:
    return inside(folder, f"{WORK}/{shard.rpartition('/')[2]}.json")
