"""Metadata of a dataset in Croissant 1.1, with the vocabularies for responsible AI (RAI 1.0) and provenance (PROV-O).

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synthdata.emission.kinds import KINDS, Kind, columns_of
from synthdata.emission.manifest import CROISSANT
from synthdata.errors import FailureError
from synthdata.publishing.pages.provenance import source_of
from synthdata.publishing.sources import describe_source

Node = dict[str, Any]
"""A part of the JSON-LD."""

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_CITATION = (
    "@inproceedings{wu2023synthetic, title={Synthetic Data Can Also Teach: Synthesizing Effective Data for "
    "Unsupervised Visual Representation Learning}, author={Wu, Yawen and Wang, Zhepeng and Zeng, Dewen and Shi, Yiyu "
    "and Hu, Jingtong}, booktitle={AAAI}, year={2023}}"
)
_DATA_FREE_CITATION = (
    "@inproceedings{babakniya2023datafree, title={A Data-Free Approach to Mitigate Catastrophic Forgetting in "
    "Federated Class Incremental Learning for Vision Tasks}, author={Babakniya, Sara and Fabian, Zalan and He, "
    "Chaoyang and Soltanolkotabi, Mahdi and Avestimehr, Salman}, booktitle={NeurIPS}, year={2023}}"
)
_ENCODINGS = {"tar": "application/x-tar", "parquet": "application/x-parquet"}
_IMAGES = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
_SUFFIXES = {"png": "png", "webp": "webp", "jpeg": "jpg"}
_TYPES = {"int64": "sc:Integer", "float64": "sc:Float", "bool": "sc:Boolean"}
_MEANINGS = {
    "index": "number of the row, from 0",
    "seed": "seed of the dataset",
    "hardness": "NT-Xent loss of the image's views against embeddings of real images, in nats",
    "similarity": "cosine similarity of the two images' embeddings",
    "realism": "the generator's own score, comparable within this dataset only",
    "nearest_real": "row in the source of the training image nearest in embedding space",
    "nearest_similarity": "cosine similarity to that image",
    "noise_level": "share of the noise process from which the two variants of the real image were denoised",
    "anchor": "row in the source of the real image that the two are variants of",
    "label": "number of the class that the classifier gives the image, from 0",
    "confidence": "the classifier's probability of that class",
}


def write_croissant(folder: Path, manifest: dict[str, Any]) -> Path:
    """Write croissant.json of a finished dataset from its manifest.

    Raises:
        FailureError: it cannot be written.
    """
    path, aside = folder / CROISSANT, folder / f".{CROISSANT}.partial"
    content = json.dumps(croissant(folder.resolve().name, manifest), indent=2, ensure_ascii=False) + "\n"
    try:
        aside.write_text(content, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise FailureError(f"cannot write {path}: {error.strerror}; make room, then write the page again") from error
    return path


def croissant(name: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """The JSON-LD of a dataset.

    Args:
        name: of the dataset.
        manifest: of the dataset; kinds that are not known here have their files told and no columns.
    """
    if "construction" in manifest:
        return _relations(name, manifest)
    kinds = {kind: summary["rows"] for kind, summary in manifest["kinds"].items()}
    replay = "replay" in kinds
    contents = ", ".join(f"{rows:,} rows of {kind}" for kind, rows in kinds.items())
    metadata = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": name,
        "description": (
            f"Images that stand in for those a classifier learned from, with its labels: {contents}."
            if replay
            else f"Synthetic images for contrastive learning, without labels: {contents}."
        ),
        "citeAs": _DATA_FREE_CITATION if replay else _CITATION,
        "keywords": ["synthetic", "knowledge distillation" if replay else "contrastive learning", "image", *kinds],
        "version": "1.0.0",
        **({"license": _license(manifest["settings"]["license"])} if manifest["settings"].get("license") else {}),
        **_provenance(manifest),
        **(_responsible_use_of_replay() if replay else _responsible_use(manifest)),
    }
    distribution = [_file(shard) for shard in manifest["shards"]]
    record_sets: list[Node] = []
    for kind, rows in kinds.items():
        shards = [shard for shard in manifest["shards"] if shard["kind"] == kind]
        if kind in KINDS and rows and "image_format" in manifest["settings"]:
            columns = columns_of(kind, manifest.get("criteria", {}).get(kind, {}))
            sets, records = _records(kind, columns, shards, manifest["settings"]["image_format"])
            distribution += sets
            record_sets += records
    return metadata | {"distribution": distribution, "recordSet": record_sets}


def _relations(name: str, manifest: dict[str, Any]) -> Node:
    """The JSON-LD of a constructed dataset, which has no images of its own and no model behind it."""
    made, settings, source = manifest["construction"], manifest["settings"], manifest["run"]["source"]
    rows, of = manifest["kinds"]["relations"]["rows"], describe_source(made["source"]["data"])
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": f"{rows:,} relations between the rows of {of['description']}, proposed by {made['strategy']}.",
        "keywords": ["relations", "contrastive learning", made["strategy"]],
        "version": "1.0.0",
        **({"license": _license(settings["license"])} if settings.get("license") else {}),
        "prov:wasDerivedFrom": [
            {"@type": "prov:Entity", "prov:label": of["description"], "sha256": source["sha256"]},
        ],
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": "Construction: no model was trained",
            "description": manifest["made_with"].get("command", ""),
        },
        "distribution": [_file(shard) for shard in manifest["shards"]],
        "recordSet": [],
    }


def _license(name: str) -> str:
    """An address where the name is that of a known family of licences, as the Hub spells it."""
    if name.startswith("cc-by"):
        kind, _, version = name.removeprefix("cc-").rpartition("-")
        return f"https://creativecommons.org/licenses/{kind}/{version}/"
    return {"cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/"}.get(name, name)


def _file(shard: dict[str, Any]) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": shard["path"],
        "name": os.path.basename(shard["path"]),
        "description": f"{shard['rows']:,} rows",
        "contentUrl": shard["path"],
        "contentSize": f"{shard['bytes']} B",
        "encodingFormat": _ENCODINGS.get(shard["path"].rpartition(".")[2], "application/octet-stream"),
        "sha256": shard["sha256"],
    }


def _records(
    kind: Kind, columns: Mapping[str, str], shards: list[dict[str, Any]], image_format: str
) -> tuple[list[Node], list[Node]]:
    """The sets of files that a kind's records are read from, and the sets of records."""
    contained = [{"@id": shard["path"]} for shard in shards]
    if shards[0]["path"].endswith(".parquet"):
        return _parquet_records(kind, columns)
    rows = _file_set(f"{kind}-rows", contained, "application/json", "*.json")
    fields = _columns(kind, columns, rows, lambda name: {"jsonPath": f"$.{name}"})
    file_sets, record_sets = [rows], [_record_set(kind, fields)]
    for member in KINDS[kind].members:
        name = f"{kind}_{_image(member)}"
        ending = ".".join(filter(None, (member, _SUFFIXES[image_format])))
        files = _file_set(f"{name}-files", contained, _IMAGES[image_format], f"*.{ending}")
        key = _key(kind, name, files, ending)
        content = _field(name, "image", "sc:ImageObject", _meaning(member), files, {"fileProperty": "content"})
        file_sets.append(files)
        record_sets.append(_record_set(name, [key, content]))
    return file_sets, record_sets


def _parquet_records(kind: Kind, columns: Mapping[str, str]) -> tuple[list[Node], list[Node]]:
    rows = _file_set(f"{kind}-rows", [], "application/x-parquet", f"data/{kind}/*.parquet")
    fields = []
    for member in KINDS[kind].members:
        name = _image(member)
        field = _field(kind, name, "sc:ImageObject", _meaning(member), rows, {"column": name})
        field["source"]["transform"] = {"jsonPath": "bytes"}
        fields.append(field)
    fields += _columns(kind, columns, rows, lambda name: {"column": name})
    return [rows], [_record_set(kind, fields)]


def _columns(
    kind: Kind, columns: Mapping[str, str], files: Node, extract: Callable[[str], dict[str, str]]
) -> list[Node]:
    return [
        _field(kind, name, _TYPES.get(dtype, "sc:Text"), _MEANINGS.get(name, name), files, extract(name))
        for name, dtype in columns.items()
    ]


def _image(member: str) -> str:
    """The name of an image's column."""
    return f"image_{member}" if member else "image"


def _file_set(name: str, contained: list[dict[str, str]], encoding: str, includes: str) -> Node:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        **({"containedIn": contained} if contained else {}),
        "encodingFormat": encoding,
        "includes": includes,
    }


def _record_set(kind: str, fields: list[Node]) -> Node:
    return {"@type": "cr:RecordSet", "@id": kind, "name": kind, "field": fields}


def _key(kind: str, record_set: str, files: Node, ending: str) -> Node:
    meaning = f"name of the row: {kind}- and its index, in eight digits"
    field = _field(record_set, "key", "sc:Text", meaning, files, {"fileProperty": "filename"})
    field["source"]["transform"] = {"regex": rf"^(.*)\.{re.escape(ending)}$"}
    return field


def _field(kind: str, name: str, data_type: str, meaning: str, files: Node, extract: dict[str, str]) -> Node:
    return {
        "@type": "cr:Field",
        "@id": f"{kind}/{name}",
        "name": name,
        "description": meaning,
        "dataType": data_type,
        "source": {"fileSet": {"@id": files["@id"]}, "extract": extract},
    }


def _meaning(member: str) -> str:
    return f"image {member} of the pair" if member else "the image"


def _provenance(manifest: dict[str, Any]) -> Node:
    """What the dataset was derived from, by which activity, and with which weights and seeds."""
    run, training, settings = manifest["run"], manifest.get("training", {}), manifest["settings"]
    derived = []
    if source := source_of(manifest):
        known = describe_source(source["data"])
        derived.append(
            {
                "@type": "prov:Entity",
                "prov:label": known["description"],
                "sha256": source["sha256"],
                **({"url": f"https://huggingface.co/datasets/{known['repository']}"} if "repository" in known else {}),
            }
        )
    if superseded := manifest.get("supersedes"):
        told = superseded if isinstance(superseded, str) else json.dumps(superseded)
        derived.append({"@type": "prov:Entity", "prov:label": "The dataset that this one supersedes", "text": told})
    agents = [
        {"@type": "prov:SoftwareAgent", "prov:label": f"{part} {run[part]['class']}, {file}", "sha256": digest}
        for part in ("generator", "encoder")
        if part in run
        for file, digest in run[part]["sha256"].items()
    ]
    seeds = {"dataset": settings.get("seed"), "training": training.get("seed")}
    drawn = ", ".join(f"seed of the {name} {seed}" for name, seed in seeds.items() if seed is not None)
    activity = {
        "@type": "prov:Activity",
        "prov:label": "Emission: candidates were drawn from the generator, scored by the "
        f"{'encoder' if 'encoder' in run else 'classifier'}, and chosen",
        "description": "; ".join(filter(None, [manifest["made_with"].get("command", ""), drawn])),
        "prov:wasAssociatedWith": agents,
    }
    return {"prov:wasDerivedFrom": derived, "prov:wasGeneratedBy": activity}


def _responsible_use(manifest: dict[str, Any]) -> Node:
    source = source_of(manifest)
    compared = f"the {source['images']:,} training images" if source else "the training images"
    guards = []
    for kind, criteria in manifest["criteria"].items():
        memorised = manifest["kinds"].get(kind, {}).get("dropped", {}).get("memorised")
        if memorised is not None and "copy_distance" in criteria:
            guards.append(
                f"{kind}: {memorised:,} candidates within {criteria['copy_distance']} (root mean square difference of "
                "pixels in [0, 1]) of a training image were dropped"
            )
    return {
        "rai:dataCollection": "No image was collected: all were made by a generator that was trained together with a "
        "contrastive encoder.",
        "rai:dataCollectionType": ["Synthetic: images sampled from a generator"],
        "rai:dataManipulationProtocol": "Candidates were kept within bands of hardness or similarity and above a floor "
        "of realism; manifest.json has the criteria and the counts of what was dropped.",
        "rai:dataUseCases": ["Contrastive and other self-supervised learning of image encoders"],
        "rai:dataLimitations": [
            "Scores are those of one encoder and one generator, and mean less to others.",
            f"The memorisation guard compares with {compared} alone, at no more than 16 x 16 pixels: it tells copies "
            "of whole images, not of parts of them.",
        ],
        "rai:dataBiases": ["What the real images lack or overstate, the synthetic ones do as well."],
        "rai:personalSensitiveInformation": [
            "Whatever the real images show of persons, the generator may have learned; near copies are dropped.",
            *guards,
        ],
        "rai:dataReleaseMaintenancePlan": "Images of the source can be taken down from a dataset: it is then "
        "written anew, and names the one that it supersedes.",
    }


def _responsible_use_of_replay() -> Node:
    return {
        "rai:dataCollection": "No image was collected: all were made by a generator that learned from a classifier "
        "alone and saw no image.",
        "rai:dataCollectionType": ["Synthetic: images sampled from a generator"],
        "rai:dataUseCases": ["Teaching a network what a classifier knows where its training images cannot be had"],
        "rai:dataLimitations": [
            "Labels are one classifier's answers, and the images were made for that classifier.",
            "The images do not look like those that the classifier learned from.",
        ],
        "rai:dataBiases": ["What the classifier has wrong, the labels have wrong as well."],
        "rai:personalSensitiveInformation": [
            "What the classifier remembers of its training images can come through; nothing was compared with them."
        ],
    }
