"""``synthdata verify DIR``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthdata.configuration import positional
from synthdata.paths import PathText


@dataclass
class VerifyConfig:
    """Compare every shard with manifest.json: its size and its sha256.

    In an object store (s3://, gs://, az://, hf://) sizes are compared, and hashes where the store tells them; with
    --deep every shard is read there as well.

    Each shard that is missing, truncated or altered gets one line, and the exit code is then 1. Of a constructed
    dataset, what has to hold for every relation is checked as well.

    With --absent, a dataset or the newest revision of a repository is looked through for the shards of one that was
    taken down instead.

    Attributes:
        folder: what an emission left behind; with --absent also OWNER/NAME on the Hub.
        deep: of an object store: read every shard.
        absent: the manifest.json of a dataset that a takedown has superseded: each shard of it that can still be had
            gets a line, but for those that the new dataset keeps as they were.
    """

    folder: PathText = positional("DIR")
    deep: bool = False
    absent: PathText | None = None


def verify(config: VerifyConfig) -> int:
    """Print what is wrong with the dataset, or that nothing is."""
    from synthdata.emission import read_manifest, verify_dataset

    if config.absent is not None:
        return _verify_absent(config.folder, Path(config.absent))
    problems = verify_dataset(config.folder, config.deep)
    if not problems and "construction" in read_manifest(config.folder):
        from synthdata.construction.verify import verify_relations

        problems = verify_relations(config.folder)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{config.folder} is sound: {contents(read_manifest(config.folder))}")
    return int(bool(problems))


def _verify_absent(source: str, old: Path) -> int:
    from synthdata.publishing.absence import look_for

    found = look_for(source, old)
    for path in found.present:
        print(f"{path}: a shard of the dataset that was taken down")
    if not found.present:
        kept = f", {found.kept} hold no row that changed and are kept" if found.kept else ""
        print(f"{source} has none of the {found.old} old shards{kept}")
    if found.history:
        print(found.history)
    return int(bool(found.present))


def contents(manifest: dict[str, Any]) -> str:
    """Rows and shards of a dataset, in words."""
    rows = ", ".join(f"{summary['rows']:,} {kind}" for kind, summary in manifest["kinds"].items())
    return f"{rows} in {len(manifest['shards']):,} shards"
