"""The page of a dataset: what is in it, how its scores are distributed, a sample of its rows, and its provenance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from synthdata.emission.kinds import CANDIDATES, KINDS
from synthdata.publishing.card import DROPS
from synthdata.publishing.pages.charts import Chart, histogram, parts_of_a_whole
from synthdata.publishing.pages.document import write_document
from synthdata.publishing.pages.images import Picture
from synthdata.publishing.pages.provenance import Step, source_of, source_step
from synthdata.publishing.pages.real import RealImages
from synthdata.publishing.pages.samples import Sample, sample_rows
from synthdata.publishing.sources import describe_source, without_folders
from synthdata.stores import Store

BUDGET = 4_500_000
"""Characters that all images of a page may take."""

_KINDS = {
    "hard": ("Hard samples", "Images that the encoder finds hard to tell from real ones."),
    "pairs": ("Positive pairs", "Two different images that the encoder should embed alike."),
    "replay": (
        "Replay",
        "Images made from a classifier alone, with its labels. They teach; they do not look like the data.",
    ),
    "relations": ("Relations", "What some rows of the source are to another."),
}
_COLUMNS = {
    "hardness": ("Hardness", "hardness, nats"),
    "similarity": ("Similarity of the two images", "cosine similarity"),
    "realism": ("Realism", "realism, the generator's own score"),
    "confidence": ("Confidence", "the classifier's probability of the label"),
    "nearest_similarity": ("Similarity to the nearest real image", "cosine similarity"),
}


@dataclass(frozen=True)
class Kind:
    """What the template shows of one kind of rows.

    Attributes:
        name: in paths and calls.
        title: for people.
        meaning: one sentence; empty for a kind that this page does not know.
        score: the column that rows are sorted by and labelled with; empty for none.
        rows: in the dataset.
        files: that hold them.
        bytes: of those.
        charts: of the columns.
        dropped: what became of the candidates; None where there were none.
        sample: rows to look at.
        columns: that rows can be sorted by.
        fidelity: as the manifest has it.
        copy_distance: of the memorisation guard; None without one.
    """

    name: str
    title: str
    meaning: str
    score: str
    rows: int
    files: int
    bytes: int
    charts: list[Chart]
    dropped: Chart | None
    sample: Sample
    columns: list[str]
    fidelity: dict[str, Any] | None
    copy_distance: float | None


def write_dataset_page(folder: Path, store: Store, manifest: dict[str, Any], real: RealImages | None = None) -> Path:
    """Write index.html of a finished dataset from its manifest and shards.

    Args:
        folder: the dataset, which need not have its shards.
        store: where those are.
        manifest: its manifest.
        real: the training images, to show the nearest one beside each row; None to show none.

    Raises:
        FailureError: a shard cannot be read, or the page cannot be written.
    """
    budget = BUDGET // max(len(manifest["kinds"]), 1)
    sampled = partial(sample_rows, nearest=_nearest(real))
    kinds = [kind_of(store, name, manifest, budget, sampled) for name in manifest["kinds"]]
    source, settings = source_of(manifest), manifest["settings"]
    return write_document(
        folder,
        "dataset.html",
        **whole(folder, manifest),
        kinds=kinds,
        source=source,
        origin=describe_source(source["data"]) if source else None,
        steps=_provenance(folder, manifest),
        stored_as=f"{settings['format']}, {settings['image_format']}" if "format" in settings else None,
        shows_real=real is not None,
    )


def whole(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """What the page of any dataset tells of it, beside its rows and where they come from."""
    return {
        "name": folder.resolve().name,
        "settings": manifest["settings"],
        "made_with": manifest["made_with"],
        "files": [name for name in ("README.md", "croissant.json", "manifest.json") if (folder / name).is_file()],
        "load": _load_calls(folder.resolve().name, list(manifest["kinds"])),
    }


def kind_of(
    store: Store, name: str, manifest: dict[str, Any], budget: int, sampled: Callable[..., Sample] = sample_rows
) -> Kind:
    """What a page shows of the rows of one kind.

    Args:
        budget: the most characters that the images may take.
        sampled: ``sample_rows``, told what to show beside a row.

    Raises:
        FailureError: a shard cannot be read.
    """
    summary, criteria = manifest["kinds"][name], manifest["criteria"].get(name, {})
    shards = [shard for shard in manifest["shards"] if shard["kind"] == name]
    title, meaning = _KINDS.get(name, (name.replace("_", " ").capitalize(), ""))
    score = KINDS[name].score if name in KINDS else ""
    sample = sampled(store, shards, budget)
    if score:
        sample.rows.sort(key=lambda row: row.columns.get(score) or 0.0, reverse=name == "hard")
    return Kind(
        name,
        title,
        meaning,
        score,
        rows=summary["rows"],
        files=len(shards),
        bytes=sum(shard["bytes"] for shard in shards),
        charts=_histograms(summary.get("columns", {}), criteria, score),
        dropped=_dropped(summary),
        sample=sample,
        columns=_numbers(sample),
        fidelity=(manifest.get("fidelity") or {}).get(name),
        copy_distance=criteria.get("copy_distance"),
    )


def _nearest(real: RealImages | None) -> Callable[[Mapping[str, Any]], Picture | None]:
    return lambda columns: real.of_row(columns["nearest_real"]) if real and "nearest_real" in columns else None


def _histograms(columns: dict[str, Any], criteria: dict[str, Any], score: str) -> list[Chart]:
    bands = {score: tuple(criteria.get("band", (None, None))), "realism": (criteria.get("realism_floor"), None)}
    charts = []
    for name, column in columns.items():
        if name == CANDIDATES or not sum(column.get("histogram", ())):
            continue
        counts = {"rows": column["histogram"]}
        if name == score and CANDIDATES in columns:
            counts["candidates"] = columns[CANDIDATES]["histogram"]
        title, label = _COLUMNS.get(name, (name.replace("_", " ").capitalize(), name))
        band = bands.get(name)
        shown = band if band and band != (None, None) else None
        charts.append(histogram(title, label, column["edges"], counts, shown, column=name))
    return charts


def _dropped(summary: dict[str, Any]) -> Chart | None:
    if not summary.get("dropped") or not summary.get("candidates"):
        return None
    counts = {"became rows": summary["rows"]}
    counts |= {DROPS.get(reason, reason): count for reason, count in summary["dropped"].items()}
    return parts_of_a_whole("What became of the candidates", "candidates", counts)


def _numbers(sample: Sample) -> list[str]:
    """Columns in which the shown rows have numbers that differ."""
    names = dict.fromkeys(name for row in sample.rows for name in row.columns)
    values = {name: [row.columns.get(name) for row in sample.rows] for name in names}
    return [
        name
        for name, each in values.items()
        if all(isinstance(value, int | float) for value in each) and len(set(each)) > 1
    ]


def _load_calls(name: str, kinds: list[str]) -> str:
    calls = "".join(f'{kind} = load_dataset("./{name}", "{kind}", split="train")\n' for kind in kinds)
    return f"from datasets import load_dataset\n\n{calls}"


def _provenance(folder: Path, manifest: dict[str, Any]) -> list[Step]:
    run, training, settings = manifest["run"], manifest.get("training", {}), manifest["settings"]
    steps = [source_step(source)] if (source := source_of(manifest)) else []
    trained = [f"arm {training['arm']}"] if "arm" in training else []
    trained += (
        [f"{training['steps']:,} {'encoder' if 'encoder' in run else 'generator'} steps"] if "steps" in training else []
    )
    trained += [f"seed {training['seed']}"] if "seed" in training else []
    for part in ("encoder", "generator"):
        digests = run.get(part, {}).get("sha256", {})
        trained += [f"{run[part]['class']}, sha256 {digest[:12]}…" for digest in list(digests.values())[:1]]
    if trained:
        steps.append(Step("Run", trained))
    rows = [f"{summary['rows']:,} {kind}" for kind, summary in manifest["kinds"].items()]
    seed = [f"seed {settings['seed']}"] if "seed" in settings else []
    steps.append(Step(f"Dataset {folder.resolve().name}", [*rows, *seed], here=True))
    if superseded := manifest.get("supersedes"):
        told = superseded if isinstance(superseded, str) else superseded.get("name") or superseded.get("manifest", "")
        steps.append(Step("Supersedes", [without_folders(str(told))]))
    return steps
