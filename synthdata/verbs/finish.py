"""``synthdata finish DIR``."""

from dataclasses import dataclass

from synthdata.configuration import positional
from synthdata.paths import PathText
from synthdata.verbs.verify import contents


@dataclass
class FinishConfig:
    """Complete a dataset whose shards were written by `recipes/emit.py --worker I --workers N`.

    Checks that every shard is there and writes manifest.json, README.md, croissant.json and index.html. The last worker
    does the same by itself. Of a finished dataset it restores those of them that are missing.

    Attributes:
        folder: the --output of the workers.
    """

    folder: PathText = positional("DIR")


def finish(config: FinishConfig) -> None:
    """Write the manifest and what stands beside the shards, and print what is in the dataset."""
    from synthdata.emission import finish_dataset, read_manifest
    from synthdata.publishing.complete import complete_dataset

    finish_dataset(config.folder)
    complete_dataset(config.folder)
    print(f"{config.folder} is finished: {contents(read_manifest(config.folder))}")
