"""``synthdata takedown DIR --run RUN --output DIR``."""

from dataclasses import dataclass
from typing import Literal

from synthdata.configuration import positional
from synthdata.paths import PathText


@dataclass
class TakedownShardsConfig:
    """Make a dataset again from the run of a takedown: the same rows, less what may have come from the images.

    The new dataset has the plan, the seed and the settings of the old one, which stays as it is. Its manifest says what
    it supersedes, and how many rows changed and why, without naming the images. The same command goes on where it was
    interrupted; `synthdata push` then puts the new shards in the place of the old ones, in one commit.

    Attributes:
        folder: the dataset that the run before emitted.
        run: the run directory that recipes/takedown.py wrote.
        output: dataset directory to write or to complete.
        scope: "near" makes rows anew whose nearest training image was taken down, or that are near copies of such an
            image, and keeps the others byte for byte; "all" makes all rows anew.
        page: also write index.html, to look through the rows.
    """

    folder: PathText = positional("DIR")
    run: PathText = "runs/takedown"
    output: PathText = "out/takedown"
    scope: Literal["near", "all"] = "near"
    page: bool = True


def takedown(config: TakedownShardsConfig) -> None:
    """Write the new dataset, its card and its page, and print what changed."""
    from synthdata.emission.dataset import summary
    from synthdata.publishing.complete import complete_dataset
    from synthdata.takedown.shards import ShardsRequest, take_down_shards

    emission = take_down_shards(config.folder, ShardsRequest(config.run, config.output, config.scope))
    complete_dataset(emission.folder, config.page)
    if emission.manifest is not None:
        for kind, rows in emission.manifest["takedown"]["rows"].items():
            print(f"{kind}: {rows['changed']:,} rows made anew, {rows['kept']:,} kept as they were")
    print(summary(emission))
    print(f"{config.folder} is as it was: push {config.output} in its place, and delete it")
