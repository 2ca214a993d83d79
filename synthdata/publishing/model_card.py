"""The cards of a run's encoder and generator: a README.md in each folder, from what the run left on the disk."""

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from synthdata.errors import FailureError
from synthdata.formats import DenoiserSettings, EncoderSettings, ImageSettings, ModelIndex, Report, SamplingSettings
from synthdata.publishing.rendering import render
from synthdata.publishing.sources import describe_shards, describe_source, without_folders
from synthdata.run_files import read_run, read_run_file

METHODS = {
    "simclr": "SimCLR (Chen et al., ICML 2020)",
    "mocov2": "MoCo v2 (Chen et al., 2020)",
    "mocov3": "MoCo v3 (Chen et al., ICCV 2021)",
    "nnclr": "NNCLR (Dwibedi et al., ICCV 2021)",
    "byol": "BYOL (Grill et al., NeurIPS 2020)",
    "simsiam": "SimSiam (Chen & He, CVPR 2021)",
    "barlowtwins": "Barlow Twins (Zbontar et al., ICML 2021)",
    "vicreg": "VICReg (Bardes et al., ICLR 2022)",
    "debiased": "debiased contrastive learning (Chuang et al., NeurIPS 2020)",
    "hard_negative": "contrastive learning with hard negatives (Robinson et al., ICLR 2021)",
    "sacl_xd": "SACL-XD (Meng et al., NeurIPS 2023)",
    "hasa": "HaSa (Zhang et al., WWW 2024)",
}
SYNTHETIC = {
    "inflate": "a frozen generator's images",
    "hard": "hard samples",
    "pairs": "positive pairs",
    "both": "hard samples and positive pairs",
    "anchored": "variants of them",
}
SCORES = {"linear_top1": "linear probe", "knn_top1": "k-NN"}
_LOW_LABELS = "linear_{}_labels_top1"


def write_model_card(run: Path) -> None:
    """Write encoder/README.md and, where the run has a generator, generator/README.md.

    Args:
        run: the directory of a finished run, of joint training or of contrastive training on a dataset.

    Raises:
        MisuseError: the run is not finished, or its files are damaged.
        FailureError: a card cannot be written.
    """
    files = read_run(run)
    config, report = files.config, files.report or dict(read_run_file(run / "report.json", Report))
    facts: dict[str, Any] = {
        "report": report,
        "config": shareable(config),
        "yaml": yaml.safe_dump(shareable(config), sort_keys=False).strip(),
        "source": describe_source(config["data"]["source"]) if config["data"] else None,
        "shards": describe_shards(config["shards"]) if config.get("shards") else None,
    }
    encoder = read_run_file(run / "encoder" / "config.json", EncoderSettings)
    header = ModelCardData(
        library_name="synthdata",
        pipeline_tag="image-feature-extraction",
        tags=["contrastive-learning", "self-supervised-learning"],
        datasets=_datasets(facts),
    )
    objective = "sacl_xd" if config["train"].get("objective") == "sacl_xd" else "simclr"
    method = report.get("method", objective)
    learned = {"method": METHODS.get(method, method), "images": _images(facts)}
    scores = _scores(report, config)
    write_card(run / "encoder", render("encoder.md", header, encoder=encoder, scores=scores, **learned, **facts))
    if (run / "generator" / "model_index.json").is_file():
        _write_generator_card(run / "generator", facts)


def _write_generator_card(folder: Path, facts: dict[str, Any]) -> None:
    index = dict(read_run_file(folder / "model_index.json", ModelIndex))
    header = ModelCardData(
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        tags=["contrastive-learning", "synthetic"],
        datasets=_datasets(facts),
    )
    network, settings = _images_of(folder, index), folder / "synthdata.json"
    steps = read_run_file(settings, SamplingSettings)["sampling_steps"] if settings.is_file() else None
    write_card(
        folder, render("generator.md", header, pipeline=index["_class_name"], network=network, steps=steps, **facts)
    )


def _images_of(folder: Path, index: dict[str, Any]) -> dict[str, Any]:
    """The size and the channels of a generator's images, in pixels; empty where a decoder comes between."""
    if "generator" in index:
        return dict(read_run_file(folder / "generator" / "config.json", ImageSettings))
    if "vqvae" in index:
        return {}
    unet = read_run_file(folder / "unet" / "config.json", DenoiserSettings)
    return {"image_size": unet["sample_size"], "channels": unet["out_channels"]}


def _images(facts: dict[str, Any]) -> str:
    """What the encoder learned from, in Markdown."""
    source, shards, arm = facts["source"], facts["shards"], facts["report"].get("arm")
    kinds = [source and source["description"], shards and f"the synthetic images of {shards['description']}"]
    return " and ".join(filter(None, [*kinds, SYNTHETIC.get(arm)]))


def _datasets(facts: dict[str, Any]) -> list[str] | None:
    """The repositories of datasets that were learned from."""
    return [each["repository"] for each in (facts["source"], facts["shards"]) if each and "repository" in each] or None


def _scores(report: dict[str, Any], config: dict[str, Any]) -> list[tuple[str, float | None, float | None]]:
    """Name, accuracy on the test split and on the validation split, in percent; None where it was not measured."""
    names = dict(SCORES)
    for budget in (config.get("evaluation") or {}).get("labels") or []:
        names[_LOW_LABELS.format(budget)] = f"linear probe on {budget:,} labels"
    rows = [(name, report.get(key), report.get(f"validation_{key}")) for key, name in names.items()]
    return [row for row in rows if row[1:] != (None, None)]


def score_title(name: str) -> str:
    """What a report's ``..._top1`` is, on whichever split."""
    plain = name.removeprefix("validation_")
    labels = plain.removeprefix("linear_").removesuffix("_labels_top1")
    known = f"linear probe on {int(labels):,} labels" if labels.isdecimal() else plain.removesuffix("_top1")
    return SCORES.get(plain, known)


def shareable(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the folders of this machine, and without the rows that are not to be used."""
    shared = dict(config)
    if config.get("classifier"):
        named, colon, path = config["classifier"].rpartition(":")
        shared["classifier"] = f"{named}{colon}{Path(path).name}"
    if config.get("data"):
        data = {name: value for name, value in config["data"].items() if name != "root"}
        if data.get("exclude"):
            del data["exclude"]
        shared["data"] = data | {"source": without_folders(data["source"])}
    if config.get("shards") and Path(config["shards"]).exists():
        shared["shards"] = without_folders(config["shards"])
    generator = config.get("generator") or {}
    if generator.get("pretrained") and Path(generator["pretrained"]).exists():
        shared["generator"] = generator | {"pretrained": without_folders(generator["pretrained"])}
    if config.get("takedown"):
        shared["takedown"] = config["takedown"] | {"run": Path(config["takedown"]["run"]).name}
    if (config.get("emission") or {}).get("output"):
        shared["emission"] = {name: value for name, value in config["emission"].items() if name != "output"}
    return shared


def write_card(folder: Path, content: str) -> None:
    """Write README.md into a model's folder.

    Raises:
        FailureError: it cannot be written.
    """
    try:
        ModelCard(content).save(folder / "README.md")
    except OSError as error:
        raise FailureError(
            f"cannot write {folder / 'README.md'}: {error.strerror}; make room and write again"
        ) from error
