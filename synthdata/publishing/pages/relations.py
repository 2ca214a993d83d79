"""The page of a constructed dataset: its audit, and a sample of its relations, with their images where they are."""

import io
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthdata.publishing.pages.dataset import BUDGET, kind_of, whole
from synthdata.publishing.pages.document import write_document
from synthdata.publishing.pages.images import Picture, picture
from synthdata.publishing.pages.provenance import Step
from synthdata.publishing.pages.real import SourceImages
from synthdata.publishing.pages.samples import SampleRow, sample_rows
from synthdata.publishing.sources import describe_source
from synthdata.stores import Store

_IMAGES = ("digits", "imagefolder", "wds", "torchvision", "pairs")
_MOST_CHARACTERS = 160
"""Of a cell of the table."""

_NOTHING = {"weight": 1.0, "score": 0.0, "suspected_fact": False, "span": [0, 0], "mask": [], "other": [], "why": ""}
"""What a column holds that has nothing to tell."""

_SHADE = np.array([200, 40, 60])
_MASKED_SIDE = 64


def write_relations_page(
    folder: Path, store: Store, manifest: dict[str, Any], real: SourceImages | None = None
) -> Path:
    """Write index.html of a constructed dataset from its manifest and shards.

    Args:
        folder: the dataset, which need not have its shards.
        store: where those are.
        manifest: its manifest.
        real: the images of the source, to show them where the relations have no copies; None to show none.

    Raises:
        FailureError: a shard cannot be read, or the page cannot be written.
    """
    made, settings = manifest["construction"], manifest["settings"]
    sampled = partial(sample_rows, pictured=partial(_pictures, real))
    kind = kind_of(store, "relations", manifest, BUDGET, sampled)
    pictured = any(row.images for row in kind.sample.rows)
    is_pictures = made["source"]["data"].partition(":")[0] in _IMAGES or "images_sha256" in manifest["run"]["source"]
    return write_document(
        folder,
        "relations.html",
        **whole(folder, manifest),
        kinds=[kind],
        made=made,
        audit=[(name.replace("_", " "), f"{value:,}") for name, value in made["audit"].items()],
        origin=describe_source(made["source"]["data"]),
        source=None,
        steps=_provenance(folder, manifest),
        stored_as=f"{settings['format']}, {settings['image_format']}" if pictured and not real else settings["format"],
        table=None if pictured else _table(kind.sample.rows),
        pictured=pictured,
        has_images=is_pictures,
    )


def _pictures(real: SourceImages | None, columns: Mapping[str, Any], images: dict[str, bytes]) -> dict[str, Picture]:
    """The images of a relation, by what they are to it; of a mask also what it leaves of its image."""
    if not images and real is not None:
        rows = dict(zip(("anchor", "other"), (columns["anchor"], *columns["other"]), strict=False))
        images = {member: real.encoded(row) for member, row in rows.items()}
    shown = {member: picture(content, f"image {member} of a relation") for member, content in images.items()}
    if columns["mask"] and "anchor" in images:
        shown["masked"] = _masked(images["anchor"], columns["mask"])
    return shown


def _masked(encoded: bytes, mask: list[int]) -> Picture:
    """An image with its masked patches, which lie row by row, shaded."""
    patches = math.isqrt(len(mask))
    side = patches * max(_MASKED_SIDE // patches, 1)
    with Image.open(io.BytesIO(encoded)) as image:
        pixels = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.NEAREST)).copy()
    covered = np.kron(np.reshape(mask, (patches, patches)), np.ones((side // patches, side // patches))) > 0
    pixels[covered] = (pixels[covered] * 0.2 + _SHADE * 0.8).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return picture(buffer.getvalue(), "a mask")


def _table(rows: list[SampleRow]) -> tuple[list[str], list[list[str]]]:
    """The columns that tell the shown relations apart, or tell anything."""
    told = [name for name in rows[0].columns if any(row.columns[name] != _NOTHING.get(name) for row in rows)]
    cells = [[_cell(name, row.columns[name]) for name in told] for row in rows]
    return [name.replace("_", " ") for name in told], cells


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ("" if name == "mask" else ", ").join(str(each) for each in value)
    else:
        text = "" if value is None else str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _provenance(folder: Path, manifest: dict[str, Any]) -> list[Step]:
    run, made = manifest["run"], manifest["construction"]
    steps = [Step("Source", [describe_source(made["source"]["data"])["description"], *_identity(run["source"])])]
    if encoder := run.get("encoder"):
        steps.append(Step("Embedded by", [encoder["class"], *_identity(encoder)]))
    for part, title in (("graph", "Graph"), ("truth", "Hidden from the choice, for the audit")):
        if part in run:
            steps.append(Step(title, _identity(run[part])))
    facts = [f"{count:,} {kind}" for kind, count in made["relations"].items()]
    facts.append(f"seed {manifest['settings']['seed']}")
    return [*steps, Step(f"Dataset {folder.resolve().name}", facts, here=True)]


def _identity(told: Mapping[str, Any]) -> list[str]:
    rows = [f"{told['rows']:,} rows"] if "rows" in told else []
    return rows + ([f"sha256 {told['sha256'][:12]}…"] if "sha256" in told else [])
