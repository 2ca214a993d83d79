"""Relations between the rows of a dataset on the Hub, and a constructed dataset that is pushed."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .conftest import Run
from .server import LoopbackHub


def test_relations_of_a_table_on_the_hub_name_its_revision_and_are_pushed(
    run: Run, hub: LoopbackHub, tmp_path: Path
) -> None:
    table = {"embedding": list(np.random.default_rng(0).normal(size=(40, 4))), "label": np.arange(40) % 4}
    (tmp_path / "table/data").mkdir(parents=True)
    pq.write_table(pa.table(table), tmp_path / "table/data/train-00000-of-00001.parquet")
    uploaded = run("hf", "upload", "ada/table", "table", "--repo-type", "dataset")
    assert uploaded.returncode == 0, uploaded.stderr
    arguments = ("construct", "hard_negatives", "--source", "hf:ada/table", "--output", "out/relations")
    made = run("synthdata", *arguments, USE_TORCH=None)
    assert made.returncode == 0, made.stderr
    assert "120 negative between 40 rows of hf:ada/table" in made.stdout
    manifest = json.loads((tmp_path / "out/relations/manifest.json").read_text())
    assert len(manifest["run"]["source"]["revision"]) == 40
    pushed = run("synthdata", "push", "out/relations", "ada/relations")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout == 'load_dataset("ada/relations", "relations", split="train")\n'
    call = pushed.stdout.strip()
    loaded = run("python", "-c", f"from datasets import load_dataset; print(len({call}))")
    assert loaded.stdout == "120\n", loaded.stderr
