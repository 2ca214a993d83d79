"""What a dataset directory says of itself, while it is being made and when it is done.

While shards are made, a hidden folder holds the plan and one small record for each finished shard. Finishing joins them
into manifest.json and removes the folder. The card is written afterwards, by whoever had the dataset made.
"""

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from synthdata.emission.checks import check_known, checked_manifest, checked_plan, checked_record
from synthdata.emission.kinds import CANDIDATES, DECIMALS, KINDS, Kind
from synthdata.emission.plan import Shard
from synthdata.errors import FailureError, MisuseError
from synthdata.formats import FORMAT, LISTING_FORMAT
from synthdata.manifests import joined, listed, split_off
from synthdata.reading import check_content, read_checked
from synthdata.stores import LocalStore, Location, Store, open_store
from synthdata.stores.local import disk_errors

MANIFEST = "manifest.json"
CARD = "README.md"
CROISSANT = "croissant.json"
PAGE = "index.html"
WORK = ".emission"
PLAN = "plan.json"

_PLAN = f"{WORK}/{PLAN}"
_PLANNED = tuple(field.name for field in fields(Shard))
_PARTS = ("settings", "run", "criteria", "construction", "made_with", "shards")

Plan = dict[str, Any]
"""What is fixed before the first row is made: settings, run (identity), training (its report), criteria and fidelity by
kind, made_with, and shards."""

Record = dict[str, Any]
"""A finished shard: path, kind, first_row, rows, bytes, sha256, and the summary of its tally."""


def read_manifest(location: Location) -> dict[str, Any]:
    """The manifest of a finished dataset.

    Raises:
        MisuseError: there is none, or it is of a newer format.
        FailureError: it is damaged, as it is if a shard in it has another path than the plan gives it.
    """
    store = open_store(location)
    try:
        path, name = store.fetch(MANIFEST), f"{store}/{MANIFEST}"
        return dict(read_checked(path, lambda tree: checked_manifest(joined(tree, store.fetch)), name=name))
    except (FileNotFoundError, NotADirectoryError) as error:
        begun = store.exists(_PLAN)
        mend = (
            "its emission is not finished: run the same command again" if begun else "name the directory of a dataset"
        )
        raise MisuseError(f"{store} holds no {MANIFEST}: {mend}") from error


def manifest_digest(path: Path) -> str:
    """The sha256 of a manifest's bytes, by which another dataset names the one that it supersedes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_finished(store: Store) -> bool:
    """Whether there is a manifest."""
    return store.exists(MANIFEST)


def is_begun(store: Store) -> bool:
    """Whether there is a plan whose shards are not all made."""
    return store.exists(_PLAN)


def read_plan(location: Location) -> Plan | None:
    """The plan of the dataset that was begun or finished at ``location``, None if there is none.

    Raises:
        FailureError: it is damaged.
    """
    store = open_store(location)

    def beside(file: str) -> Path:
        return store.fetch(f"{WORK}/{file}")

    # The plan is only removed once there is a manifest, so that one of the two is found while another process finishes.
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mend = "restore it, or remove the folder and emit again"
        path, name = store.fetch(_PLAN), f"{store}/{_PLAN}"
        return dict(read_checked(path, lambda tree: checked_plan(joined(tree, beside)), mend, name=name))
    if is_finished(store):
        manifest = read_manifest(store)
        planned = [{name: shard[name] for name in _PLANNED} for shard in manifest["shards"]]
        return {part: manifest[part] for part in _PARTS if part in manifest} | {"shards": planned}
    return None


def begin(location: Location, plan: Plan) -> Plan:
    """Record ``plan``, unless another process has already done so; returns the one that counts."""
    store = open_store(location)
    told, table = split_off(plan)
    with contextlib.suppress(FileNotFoundError):  # others have finished the dataset and removed the work folder
        if table:
            store.create(f"{WORK}/{told['shards']['file']}", table)
        store.create(_PLAN, (json.dumps(told, indent=2) + "\n").encode())
    recorded = read_plan(store)
    assert recorded is not None
    return recorded


def check_same(store: Store, plan: Plan, settings: dict[str, Any], run: dict[str, Any]) -> None:
    """Raise ``MisuseError`` when ``store`` was begun with other settings, or for another run."""
    for name, value in settings.items():
        if (old := plan["settings"].get(name)) != value:
            raise MisuseError(f"{store} was begun with --{name} {old}, not {value}: give that, or another --output")
    for path, value in _leaves(run):
        if (old := dict(_leaves(plan["run"])).get(path)) != value:
            raise MisuseError(
                f"{store} was begun for another run ({path} was {old}, is {value}): give another --output"
            )


def _leaves(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name} ")
        else:
            yield f"{path}{name}", value


def record(store: Store, shard: Record) -> None:
    """Note that a shard is finished."""
    store.write_json(_record_path(shard["path"]), shard)


def recorded_paths(store: Store, plan: Plan) -> set[str]:
    """The shards of an unfinished dataset that have a record, which is not looked into."""
    there = store.list(WORK).keys()
    return {shard["path"] for shard in plan["shards"] if _record_path(shard["path"]) in there}


def recorded(store: Store, plan: Plan) -> dict[str, Record]:
    """The finished shards, by path, as they were when they were finished; in a finished dataset without summaries."""
    records = {}
    if not is_finished(store):
        there = recorded_paths(store, plan)
        shards = [shard for shard in plan["shards"] if shard["path"] in there]
        contents = store.read_all(_record_path(shard["path"]) for shard in shards)
        for shard, content in zip(shards, contents, strict=True):
            if content is not None:
                records[shard["path"]] = _checked_record(store, content, shard, plan)
    if is_finished(store):  # possibly by another process, which then removes the records
        return {shard["path"]: shard for shard in read_manifest(store)["shards"]}
    return records


def finish_dataset(location: Location) -> dict[str, Any] | None:
    """Write the manifest of a dataset whose shards are all made, and remove the work folder.

    Returns:
        The manifest, or None if another process finished the dataset at the same time.

    Raises:
        MisuseError: there is no emission at ``location``.
        FailureError: shards are not made yet.
    """
    store = open_store(location)
    if not is_begun(store):
        return read_manifest(store)
    with disk_errors(store), _alone(store):
        if not is_begun(store):
            return None
        if not is_finished(store) and (manifest := _manifest(store)) is not None:
            for name in (CARD, CROISSANT, PAGE):
                store.delete(name)  # whatever it tells of, it is no manifest of this dataset
            told, table = split_off(manifest)
            if table:
                store.write(told["shards"]["file"], table)
            store.write_json(MANIFEST, told)
        store.delete_folder(WORK, last=PLAN)
    return read_manifest(store)


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Keep other processes of this machine from finishing at the same time; elsewhere they write the same bytes."""
    with contextlib.ExitStack() as stack:
        if isinstance(store, LocalStore):
            with contextlib.suppress(OSError):  # others have just finished
                fcntl.flock(stack.enter_context(store.fetch(_PLAN).open("rb")), fcntl.LOCK_EX)
        yield


def _manifest(store: Store) -> dict[str, Any] | None:
    """The manifest to be written; None if another process has just written it."""
    plan = read_plan(store)
    assert plan is not None
    records = recorded(store, plan)
    if is_finished(store):
        return None
    missing = [shard["path"] for shard in plan["shards"] if shard["path"] not in records]
    if missing:
        raise FailureError(
            f"{len(missing)} of {len(plan['shards'])} shards of {store} are not made yet, the first is {missing[0]}: "
            "run the workers that make them, then finish"
        )
    shards = [records[shard["path"]] for shard in plan["shards"]]
    selected: dict[Kind, None] = dict.fromkeys(shard["kind"] for shard in shards)
    check_known(selected, store)
    kinds = {kind: _summary(kind, plan["criteria"][kind], shards) for kind in selected}
    number = LISTING_FORMAT if listed(shards) else FORMAT
    return {"format": number, **plan, "kinds": kinds, "shards": [_without_summary(shard) for shard in shards]}


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


def _checked_record(store: Store, content: bytes, shard: Mapping[str, Any], plan: Plan) -> Record:
    edges, mend = plan["criteria"][shard["kind"]]["edges"], "remove it and run the same command again"
    name = f"{store}/{_record_path(shard['path'])}"
    return dict(check_content(lambda: content, lambda tree: checked_record(tree, shard, edges), name, mend))


def _record_path(shard: str) -> str:
    return f"{WORK}/{shard.rpartition('/')[2]}.json"
