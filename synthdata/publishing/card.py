"""The card of a dataset: README.md, with the header that ``load_dataset`` and the Hub read."""

import json
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData


def write_dataset_card(folder: Path) -> None:
    """Write README.md of the finished dataset in ``folder`` from its manifest.json."""
    manifest = json.loads((folder / "manifest.json").read_text())
    suffix = {"webdataset": "tar", "parquet": "parquet"}[manifest["settings"]["format"]]
    data = DatasetCardData(
        license=manifest["settings"]["license"],
        tags=["synthetic", "contrastive-learning", manifest["settings"]["format"]],
        configs=[
            {"config_name": kind, "data_files": [{"split": "train", "path": f"data/{kind}/*.{suffix}"}]}
            for kind in manifest["kinds"]
        ],
    )
    rows = ", ".join(f"{summary['rows']:,} {kind}" for kind, summary in manifest["kinds"].items())
    content = f"---\n{data.to_yaml()}\n---\n\n# Synthetic images for contrastive learning\n\nRows: {rows}.\n"
    DatasetCard(content).save(folder / "README.md")
