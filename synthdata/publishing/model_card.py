"""The cards of a run's encoder and generator: a README.md in each folder, from what the run left on the disk."""

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from synthdata.errors import FailureError, MisuseError
from synthdata.publishing.rendering import render
from synthdata.publishing.sources import describe_source, without_folders

_SCORES = {"linear_top1": "linear probe", "knn_top1": "k-NN"}
_LOW_LABELS = "linear_{}_labels_top1"


def write_model_card(run: Path) -> None:
    """Write encoder/README.md and, where the run has a generator, generator/README.md.

    Args:
        run: the directory of a finished run.

    Raises:
        MisuseError: the run is not finished, or its files are damaged.
        FailureError: a card cannot be written.
    """
    config, report = _read(run / "config.yaml"), _read(run / "report.json")
    facts: dict[str, Any] = {
        "report": report,
        "config": _shareable(config),
        "yaml": yaml.safe_dump(_shareable(config), sort_keys=False).strip(),
        "source": describe_source(config["data"]["source"]),
    }
    encoder = _read(run / "encoder" / "config.json")
    header = ModelCardData(
        library_name="synthdata",
        pipeline_tag="image-feature-extraction",
        tags=["contrastive-learning", "self-supervised-learning"],
        datasets=_datasets(facts["source"]),
    )
    _write(run / "encoder", render("encoder.md", header, encoder=encoder, scores=_scores(report, config), **facts))
    if (run / "generator" / "model_index.json").is_file():
        _write_generator_card(run / "generator", facts)


def _write_generator_card(folder: Path, facts: dict[str, Any]) -> None:
    index = _read(folder / "model_index.json")
    header = ModelCardData(
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        tags=["contrastive-learning", "synthetic"],
        datasets=_datasets(facts["source"]),
    )
    network = _read(folder / "generator" / "config.json") if "generator" in index else {}
    _write(folder, render("generator.md", header, pipeline=index["_class_name"], network=network, **facts))


def _datasets(source: dict[str, Any]) -> list[str] | None:
    return [source["repository"]] if "repository" in source else None


def _scores(report: dict[str, Any], config: dict[str, Any]) -> list[tuple[str, float | None, float | None]]:
    """Name, accuracy on the test split and on the validation split, in percent; None where it was not measured."""
    names = dict(_SCORES)
    for budget in config.get("evaluation", {}).get("labels") or []:
        names[_LOW_LABELS.format(budget)] = f"linear probe on {budget:,} labels"
    rows = [(name, report.get(key), report.get(f"validation_{key}")) for key, name in names.items()]
    return [row for row in rows if row[1:] != (None, None)]


def _shareable(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the folders of this machine."""
    data = {name: value for name, value in config["data"].items() if name != "root"}
    shared = config | {"data": data | {"source": without_folders(data["source"])}}
    generator = config.get("generator") or {}
    if generator.get("pretrained") and Path(generator["pretrained"]).exists():
        shared["generator"] = generator | {"pretrained": without_folders(generator["pretrained"])}
    if (config.get("emission") or {}).get("output"):
        shared["emission"] = {name: value for name, value in config["emission"].items() if name != "output"}
    return shared


def _read(path: Path) -> dict[str, Any]:
    """A JSON or YAML file, which is read alike."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError as error:
        raise MisuseError(f"{path.parent} holds no {path.name}: name the directory of a finished run") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise MisuseError(f"{path} cannot be read ({error}): restore it or train again") from error
    if not isinstance(content, dict):
        raise MisuseError(f"{path} is damaged (no keys in it): restore it or train again")
    return content


def _write(folder: Path, content: str) -> None:
    try:
        ModelCard(content).save(folder / "README.md")
    except OSError as error:
        raise FailureError(
            f"cannot write {folder / 'README.md'}: {error.strerror}; make room and write again"
        ) from error
