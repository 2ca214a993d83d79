"""What a construction can be told: what all strategies have in common, and each strategy's own."""

from dataclasses import dataclass

from synthdata.construction.hard_negatives import HardNegatives
from synthdata.construction.partition import Partition
from synthdata.construction.region_mask import RegionMask
from synthdata.construction.select_pairs import SelectPairs
from synthdata.emission.config import DatasetConfig, Format
from synthdata.paths import PathText
from synthdata.ranges import PositiveInt


@dataclass
class ConstructionConfig(DatasetConfig):
    """Where rows come from, and where relations between them go.

    Attributes:
        source: parquet:PATH, csv:PATH, json:PATH (JSON lines too), hf:REPO_OR_DIR[:CONFIG] or the path of such a file;
            digits, imagefolder:PATH, wds:GLOB or torchvision:NAME, of which the training images are read; or
            pairs:DATASET, each positive pair of an emitted dataset as two candidates for one prompt.
        split: of a table.
        encoder: what embeds the rows: an encoder's folder or OWNER/NAME for images, tfidf for texts, triples for
            triples; the embedding column of the rows if not given.
        embed_rows: copy what the relations tell of beside them: columns and images of the anchor and of the others.
        format: "parquet", or "webdataset" for tar files.
        shard_size: relations of a shard.
    """

    source: PathText = "digits"
    split: str = "train"
    encoder: PathText | None = None
    output: PathText = "out/relations"
    embed_rows: bool = False
    format: Format = "parquet"
    shard_size: PositiveInt = 10_000


@dataclass
class HardNegativesConfig(HardNegatives, ConstructionConfig):
    """The rows nearest to each row as its negatives, and which of them may be positives that nobody wrote down.

    Attributes:
        graph: a table of edges between rows, with the columns head and tail; of triples, they are their own graph.
        truth: a table that is kept from the choice and tells the audit what is true: more triples, or classes.
    """

    graph: PathText | None = None
    truth: PathText | None = None


@dataclass
class SelectPairsConfig(SelectPairs, ConstructionConfig):
    """Which of several candidates for a prompt make the pair to be judged.

    Attributes:
        embed_rows: copy prompt and responses beside the relations, as whoever judges them, or trains on them, reads
            them: prompt, chosen and rejected; or response_a and response_b where they are yet to be judged.
    """

    embed_rows: bool = True


@dataclass
class PartitionConfig(Partition, ConstructionConfig):
    """Windows of trajectories, and pairs of frames along time."""


@dataclass
class RegionMaskConfig(RegionMask, ConstructionConfig):
    """Masks whose rate depends on a region."""


Config = HardNegativesConfig | SelectPairsConfig | PartitionConfig | RegionMaskConfig

STRATEGIES: dict[str, type[Config]] = {
    config.name: config for config in (HardNegativesConfig, SelectPairsConfig, PartitionConfig, RegionMaskConfig)
}
