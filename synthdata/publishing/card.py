"""The card of a dataset: README.md, with the header that ``load_dataset`` and the Hub read, and its pictures."""

import hashlib
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from synthdata.emission.checks import check_known
from synthdata.emission.manifest import read_manifest
from synthdata.formats import inside
from synthdata.publishing.label_reach import label_reach_sentence
from synthdata.publishing.relations_card import relations_card
from synthdata.publishing.rendering import render
from synthdata.publishing.replay_card import render_replay_card, save_replay_figures
from synthdata.publishing.sources import describe_source

_SUFFIXES = {"webdataset": "tar", "parquet": "parquet"}
_IMAGE_SUFFIXES = {"png": "png", "webp": "webp", "jpeg": "jpg"}
_SCORES = {"hard": "hardness", "pairs": "similarity"}
_AXES = {"hard": "hardness, nats", "pairs": "similarity, cosine"}
_TASKS = {
    "samples": ("image-feature-extraction", ["synthetic", "contrastive-learning"]),
    "relations": ("feature-extraction", ["relations", "contrastive-learning"]),
    "replay": ("image-classification", ["synthetic", "data-free", "knowledge-distillation"]),
}
"""The Hub's name of the task, and tags."""

_SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M"}
DROPS = {
    "memorised": "near copy of a training image (the memorisation guard)",
    "unrealistic": "realism below the floor",
    "too_easy": "hardness below the band",
    "too_hard": "hardness above the band",
    "too_different": "similarity below the band",
    "too_alike": "similarity above the band",
    "surplus": "acceptable, but its row took another candidate",
}


def write_dataset_card(folder: Path) -> None:
    """Write README.md and assets/*.png of the finished dataset in ``folder`` from its manifest.json.

    Raises:
        MisuseError: the manifest is of a newer format, or has kinds of rows that this version does not know.
        FailureError: the manifest is damaged, or links lead out of the folder.
    """
    manifest = read_manifest(folder)
    check_known(manifest["kinds"], folder)
    if "construction" in manifest:
        source = describe_source(manifest["construction"]["source"]["data"])
        content = relations_card(folder, manifest, _header(manifest, source))
    else:
        content = (_replay_card if "replay" in manifest["kinds"] else _samples_card)(folder, manifest)
    aside = folder / ".README.md.partial"
    aside.unlink(missing_ok=True)  # never through a link that somebody put there
    DatasetCard(content).save(aside)
    aside.replace(folder / "README.md")  # whole or not at all


def _samples_card(folder: Path, manifest: dict[str, Any]) -> str:
    kinds = {kind: _kind(kind, manifest) for kind in manifest["kinds"]}
    for kind, facts in kinds.items():
        _save_histogram(inside(folder, facts["histogram"]), kind, manifest)
    settings = manifest["settings"]
    source = describe_source(manifest["run"]["source"]["data"])
    return render(
        "dataset.md",
        _header(manifest, source),
        name=folder.resolve().name,
        settings=settings,
        kinds=kinds,
        source=source,
        images=_images(manifest),
        suffix=_SUFFIXES[settings["format"]],
        made_with=manifest["made_with"],
        run=manifest["run"],
        training=manifest.get("training", {}),
        takedown=manifest.get("takedown"),
        label_reach=label_reach_sentence(folder, manifest),
    )


def _replay_card(folder: Path, manifest: dict[str, Any]) -> str:
    """The card of a classifier's replay; its pictures are drawn."""
    save_replay_figures(inside(folder, "assets"), manifest)
    files = {"suffix": _SUFFIXES[manifest["settings"]["format"]], "image_column": _image_columns([""], manifest)[0]}
    return render_replay_card(manifest, _header(manifest, {}), folder.resolve().name, files)


def _header(manifest: dict[str, Any], source: dict[str, Any]) -> DatasetCardData:
    settings = manifest["settings"]
    task, tags = _TASKS[_subject(manifest)]
    rows = sum(summary["rows"] for summary in manifest["kinds"].values())
    return DatasetCardData(
        license=settings["license"],
        size_categories=[next((name for limit, name in _SIZES.items() if rows < limit), "n>10M")],
        source_datasets=[source["repository"]] if "repository" in source else None,
        task_categories=[task],
        tags=[*tags, settings["format"]],
        configs=[
            {
                "config_name": kind,
                # `datasets` caches a local dataset by its folder's name and this header: with no trace of the content
                # it would go on serving the rows of another dataset that once had the same name.
                "description": f"{kind}, shards {_digest(kind, manifest)}",
                "data_files": [{"split": "train", "path": f"data/{kind}/*.{_SUFFIXES[settings['format']]}"}],
            }
            for kind in manifest["kinds"]
        ],
    )


def _subject(manifest: dict[str, Any]) -> str:
    if "construction" in manifest:
        return "relations"
    return "replay" if "replay" in manifest["kinds"] else "samples"


def _digest(kind: str, manifest: dict[str, Any]) -> str:
    """What tells the content of one kind's shards from any other."""
    hashes = "".join(shard["sha256"] for shard in manifest["shards"] if shard["kind"] == kind)
    return hashlib.sha256(hashes.encode()).hexdigest()[:16]


def _images(manifest: dict[str, Any]) -> dict[str, Any]:
    source = manifest["run"]["source"]
    return {
        "count": source["images"],
        "size": source["image_size"],
        "colour": "greyscale" if source["channels"] == 1 else "RGB",
    }


def _kind(kind: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """What the template tells of one kind of rows."""
    summary = manifest["kinds"][kind]
    members = [""] if kind == "hard" else ["a", "b"]
    return {
        "rows": summary["rows"],
        "shards": sum(shard["kind"] == kind for shard in manifest["shards"]),
        "bytes": summary["bytes"],
        "candidates": summary["candidates"],
        "image_columns": _image_columns(members, manifest),
        "score": _SCORES[kind],
        "scores": {name: summary["columns"][name] for name in (_SCORES[kind], "realism", "nearest_similarity")},
        "dropped": [(DROPS.get(reason, reason), count) for reason, count in summary["dropped"].items()],
        "memorised": summary["dropped"]["memorised"],
        "criteria": manifest["criteria"][kind],
        "histogram": f"assets/{_SCORES[kind]}.png",
        "fidelity": manifest.get("fidelity", {}).get(kind),
    }


def _image_columns(members: list[str], manifest: dict[str, Any]) -> list[str]:
    """What the columns of a row's images are called; one image has no name."""
    settings = manifest["settings"]
    if settings["format"] == "parquet":
        return ["_".join(filter(None, ("image", member))) for member in members]
    return [".".join(filter(None, (member, _IMAGE_SUFFIXES[settings["image_format"]]))) for member in members]


def _save_histogram(path: Path, kind: str, manifest: dict[str, Any]) -> None:
    # Slow to import, and whoever only verifies a dataset comes by here as well.
    from synthdata.publishing.figures import save_histogram

    columns = manifest["kinds"][kind]["columns"]
    save_histogram(path, _AXES[kind], columns[_SCORES[kind]], columns["candidates"], manifest["criteria"][kind]["band"])
