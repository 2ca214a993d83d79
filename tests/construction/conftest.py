"""Small sources on the disk, and a dataset of relations that no test may change."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from synthdata.construction.config import HardNegativesConfig
from synthdata.construction.construct import construct
from synthdata.models import Encoder


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder for the digits and a table for each strategy, all of them random."""
    folder = tmp_path_factory.mktemp("sources")
    torch.manual_seed(0)
    Encoder("resnet8", 8, 1, width=4, hidden_dim=16, projection_dim=8).save_pretrained(folder / "encoder")
    random = np.random.default_rng(0)
    responses = [
        {
            "prompt": f"question {row // 3}",
            "response": " ".join(random.choice(["good", "bad", "answer", "no"], 6)),
            "embedding": random.normal(size=5).tolist(),
            "reward": float(random.normal()),
        }
        for row in range(24)
    ]
    (folder / "responses.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in responses))
    states = np.cumsum(random.normal(size=(4, 200, 2)), 1).reshape(-1, 2)
    trajectories = {"trajectory": np.repeat(range(4), 200), "t": np.tile(range(200), 4), "state": list(states)}
    pq.write_table(pa.table(trajectories), folder / "trajectories.parquet")
    sequences = ["".join(random.choice(list("ACGT"), 40)) for _ in range(30)]
    lines = [f"{sequence},{'train' if row < 20 else 'test'}" for row, sequence in enumerate(sequences)]
    (folder / "sequences.csv").write_text("\n".join(["sequence,split", *lines]) + "\n")
    triples = [(f"e{a}", f"r{a % 3}", f"e{b}") for a, b in random.integers(0, 20, (80, 2))]
    columns = zip(("head", "relation", "tail"), zip(*triples, strict=True), strict=True)
    pq.write_table(pa.table({name: list(values) for name, values in columns}), folder / "triples.parquet")
    return folder


@pytest.fixture(scope="session")
def negatives(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hard negatives of each of the 1,197 digits."""
    output = tmp_path_factory.mktemp("relations") / "negatives"
    construct(
        HardNegativesConfig(source="digits", encoder=str(sources / "encoder"), output=str(output), shard_size=1500)
    )
    return output
