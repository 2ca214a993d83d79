"""Checking again what has to hold for every relation of a constructed dataset."""

from collections import Counter
from pathlib import Path

from synthdata.construction.encoding import relation_of
from synthdata.construction.relation import problem
from synthdata.data.dataset_files import DatasetFiles
from synthdata.data.negatives import read_relations
from synthdata.emission.manifest import read_manifest

_MOST_TOLD = 20


def verify_relations(folder: Path | str) -> list[str]:
    """What is wrong with the relations of a finished dataset, whose shards are as they were written.

    Every relation is of a known kind, between rows that the source has, with weights and masks that can be used; each
    has its number, and there are as many of each kind as the manifest says.

    Returns:
        A line for each of the first relations that are broken; empty if none is, or the dataset holds no relations.

    Raises:
        MisuseError: there is no manifest.
        FailureError: the manifest or a shard is damaged.
    """
    manifest = read_manifest(folder)
    if "construction" not in manifest:
        return []
    told = manifest["construction"]
    problems: list[str] = []
    kinds: Counter[str] = Counter()
    for index, columns in enumerate(read_relations(DatasetFiles.of(str(folder)))):
        try:
            relation = relation_of(columns)
            broken = problem(relation, told["source"]["rows"])
        except (KeyError, TypeError) as error:
            broken = f"it lacks a column ({error})"
        else:
            kinds[relation.kind] += 1
        if columns.get("index") != index:
            broken = f"it has number {columns.get('index')}"
        if broken and len(problems) < _MOST_TOLD:
            problems.append(f"relation {index}: {broken}")
    if dict(kinds) != told["relations"]:
        problems.append(
            f"there are {dict(sorted(kinds.items()))} relations, not {told['relations']} as in the manifest"
        )
    return problems
