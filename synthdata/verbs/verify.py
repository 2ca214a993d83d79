"""``synthdata verify DIR``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthdata.configuration import positional
from synthdata.paths import PathText


@dataclass
class VerifyConfig:
    """Read every shard and compare its size, row count and sha256 with manifest.json.

    Each shard that is missing, truncated or altered gets one line, and the exit code is then 1. Of a constructed
    dataset, what has to hold for every relation is checked as well.

    Attributes:
        folder: what an emission left behind.
    """

    folder: PathText = positional("DIR")


def verify(config: VerifyConfig) -> int:
    """Print what is wrong with the dataset, or that nothing is."""
    from synthdata.emission import read_manifest, verify_dataset

    problems = verify_dataset(Path(config.folder))
    if not problems and "construction" in read_manifest(config.folder):
        from synthdata.construction.verify import verify_relations

        problems = verify_relations(config.folder)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{config.folder} is sound: {contents(read_manifest(config.folder))}")
    return int(bool(problems))


def contents(manifest: dict[str, Any]) -> str:
    """Rows and shards of a dataset, in words."""
    rows = ", ".join(f"{summary['rows']:,} {kind}" for kind, summary in manifest["kinds"].items())
    return f"{rows} in {len(manifest['shards']):,} shards"
