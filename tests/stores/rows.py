"""Datasets of rows that take no time to make."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from datasets import Features

from synthdata.emission.config import EmissionConfig
from synthdata.emission.dataset import Emission, write_dataset
from synthdata.emission.encoding import parquet_features
from synthdata.emission.kinds import Kind, Row
from synthdata.emission.plan import Shard

ROWS = 30


class PlainRows:
    """A ``RowMaker`` whose images are functions of their index."""

    identity: dict[str, Any]
    device = "cpu"

    def __init__(self) -> None:
        model = {"class": "Model", "sha256": {}}
        source = {"data": "digits", "images": 10, "image_size": 8, "channels": 1}
        self.identity = {"encoder": model, "generator": model, "source": source, "temperature": 0.2}

    def measure(self) -> dict[str, Any]:
        edges = {name: [0.0, 0.5, 1.0] for name in ("hardness", "realism", "nearest_similarity")}
        rules = {"kind": "hard", "seed": 0, "oversample": 1, "band": [0.0, 1.0], "realism_floor": 0.0}
        return {"criteria": {"hard": {**rules, "copy_distance": 0.0, "edges": edges}}}

    def prepare(self) -> None:
        pass

    def features(self, kind: Kind) -> Features:
        return parquet_features(kind)

    def make(self, kind: Kind, criteria: dict[str, Any], shards: Sequence[Shard]) -> Iterator[list[Row]]:
        for shard in shards:
            yield [self._row(kind, index) for index in range(shard.first_row, shard.end)]

    def _row(self, kind: Kind, index: int) -> Row:
        image = np.random.default_rng(index).integers(0, 256, (8, 8, 1), np.uint8)
        scores = {"hardness": 0.25, "realism": 0.5, "nearest_real": 0, "nearest_similarity": 0.75}
        dropped = Counter({"memorised": 0})
        return Row(kind, index, (image,), {"index": index, "seed": 0, **scores}, dropped, candidate_scores=[0.25])


def write_rows(output: object, **settings: Any) -> Emission:
    """``ROWS`` rows in shards of 8."""
    config = EmissionConfig(output=str(output), hard=ROWS, **{"shard_size": 8, **settings})
    return write_dataset(PlainRows(), config, {"hard": ROWS}, "tests")
