"""The card of a constructed dataset: its README.md, from its manifest."""

from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData

from synthdata.publishing.rendering import render
from synthdata.publishing.sources import describe_source


def relations_card(folder: Path, manifest: dict[str, Any], header: DatasetCardData) -> str:
    """The text of the card.

    Args:
        folder: the dataset directory.
        header: what the Hub and ``load_dataset`` read.
    """
    made, settings, summary = manifest["construction"], manifest["settings"], manifest["kinds"]["relations"]
    return render(
        "relations.md",
        header,
        name=folder.resolve().name,
        strategy=made["strategy"],
        rows=summary["rows"],
        bytes=summary["bytes"],
        shards=len(manifest["shards"]),
        suffix="parquet" if settings["format"] == "parquet" else "tar",
        relations=made["relations"],
        parameters=made["parameters"],
        audit=made["audit"],
        source={**describe_source(made["source"]["data"]), "rows": made["source"]["rows"]},
        settings=settings,
        made_with=manifest["made_with"],
        run=manifest["run"],
        embedded=settings["embed_rows"],
    )
