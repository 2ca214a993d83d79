"""Opening a finished run: its models, its real images, and what identifies them."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError

from synthdata.data import DataConfig, Images, load_images
from synthdata.emission.forgotten import FILE, Forgotten
from synthdata.errors import MisuseError, shortened
from synthdata.models import Encoder, Generator, load_generator
from synthdata.reading import UnsoundError, checked
from synthdata.run_files import MEND, RunFiles, read_run
from synthdata.settings import settings_of
from synthdata.views import RandomView, ViewConfig

_TOLD = ("arm", "seed", "steps", "images_seen", "device")
"""What a dataset's manifest takes over from the run's report, beside the encoder's accuracies."""

Settings = TypeVar("Settings", DataConfig, ViewConfig)


@dataclass(frozen=True)
class Run:
    """What emission needs of a run.

    Attributes:
        encoder: in evaluation mode.
        generator: likewise, with the same image size and channels.
        images: the training images that the run saw.
        view: the random views that hardness is measured with.
        temperature: divisor of the cosine similarities in hardness.
        identity: JSON-ready description of all of it: two runs that could give different rows have different ones.
        forgotten: what is known of images that were taken down; None if there were none.
        taken_down: their rows in the source.
        training: what the run's report tells of its training, and the accuracies of its encoder in percent; empty
            without a report.
        noise_levels: that variants of the real images started from; empty where the settings name none.
    """

    encoder: Encoder
    generator: Generator
    images: Images
    view: RandomView
    temperature: float
    identity: dict[str, Any]
    forgotten: Forgotten | None = None
    taken_down: tuple[int, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    noise_levels: tuple[float, ...] = ()


def load_run(folder: Path, device: torch.device) -> Run:
    """Open the run directory that joint training left behind; safetensors only.

    Raises:
        MisuseError: something is missing from it, is not what training writes, or does not fit the rest.
    """
    files = read_run(folder)
    data = _settings(DataConfig, files, "data")
    views = _settings(ViewConfig, files, "synthetic_views")
    temperature = files.config["train"]["temperature"]
    encoder, generator = load_part(folder, "encoder").to(device), load_part(folder, "generator").to(device)
    images = load_images(data).train
    for part in (encoder, generator):
        expected, got = (images.image_size, images.channels), (part.image_size, part.channels)
        if got != expected:
            raise MisuseError(
                f"{folder}: the {type(part).__name__} takes {got[0]} px and {got[1]} channel(s), the run's data "
                f"{data.source} has {expected[0]} px and {expected[1]}: do not mix the files of several runs"
            )
    identity = {
        "encoder": model_identity(folder / "encoder", encoder),
        "generator": model_identity(folder / "generator", generator),
        "source": _source_identity(data, images),
        "views": settings_of(views, ViewConfig),
        "temperature": temperature,
    }
    forgotten = None
    if (folder / FILE).exists():
        forgotten = Forgotten.load(folder / FILE)
        if forgotten.embeddings.shape[1] != encoder.settings["projection_dim"]:
            raise MisuseError(f"{folder / FILE} is of another encoder: do not mix the files of several runs")
        identity["forgotten"] = {"images": len(forgotten.embeddings), "sha256": _sha256(folder / FILE)}
    # A round trip through JSON, so that it compares equal to the copy that a manifest holds.
    identity = json.loads(json.dumps(identity))
    return Run(
        encoder.eval(),
        generator.eval(),
        images,
        RandomView(views, images.image_size, images.channels),
        temperature,
        identity,
        forgotten,
        tuple(data.exclude or ()),
        training_of(files.report),
        _noise_levels(files),
    )


def _noise_levels(files: RunFiles) -> tuple[float, ...]:
    """Those of the run's settings; runs of earlier versions have none."""
    synthetic = files.config.get("synthetic")
    variants = synthetic.get("variants") if isinstance(synthetic, dict) else None
    if not isinstance(variants, dict):
        return ()
    path = files.folder / "config.yaml"
    try:
        levels = checked(variants.get("levels"), list[float], "synthetic.variants.levels")
    except UnsoundError as error:
        raise MisuseError(f"{path} is damaged ({error}): {MEND}") from error
    if not all(0 <= level < 1 for level in levels):
        raise MisuseError(f"{path} is damaged (synthetic.variants.levels are not all in [0, 1)): {MEND}")
    return tuple(levels)


def training_of(report: dict[str, Any]) -> dict[str, Any]:
    """What a dataset's manifest takes over from a run's report."""
    told = {name: value for name, value in report.items() if name in _TOLD or name.endswith("_top1")}
    if "takedown" in report and report["takedown"]["method"] != "retrain":
        for name in ("steps", "images_seen"):  # of the takedown, and not of the training before it
            told.pop(name, None)
    return told


def _settings(kind: type[Settings], files: RunFiles, section: str) -> Settings:
    path = files.folder / "config.yaml"
    if files.config.get(section) is None:
        raise MisuseError(f"{path} has no {section}: name the directory of a finished joint training")
    try:
        return checked(files.config[section], kind, section)
    except UnsoundError as error:
        raise MisuseError(f"{path} is damaged ({error}): {MEND}") from error


def load_part(folder: Path, part: Literal["encoder", "generator"]) -> Any:
    """The encoder or the generator of the run in ``folder``, on the CPU.

    Raises:
        MisuseError: it is not there, or is not what training writes.
    """
    needed = ("config.json", "model.safetensors") if part == "encoder" else ("model_index.json",)
    for name in needed:
        if not (folder / part / name).is_file():
            raise MisuseError(f"{folder / part} holds no {name}: the run is not finished, or the file was removed")
    try:
        return (Encoder.from_pretrained if part == "encoder" else load_generator)(folder / part)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = shortened(str(error), 160)
        raise MisuseError(f"{folder / part} cannot be loaded ({reason}): restore its files or train again") from error


def model_identity(folder: Path, model: Encoder | Generator) -> dict[str, Any]:
    """What tells a saved model from any other: the class and the sha256 of every weights file."""
    weights = sorted(folder.rglob("*.safetensors"))
    digests = {path.relative_to(folder).as_posix(): _sha256(path) for path in weights}
    return {"class": type(model).__name__, "sha256": digests}


def _source_identity(data: DataConfig, images: Images) -> dict[str, Any]:
    """What the training images are; the digest is of their pixels if these are in memory, else of their rows."""
    content = images.source_indices if images.pixels is None else images.pixels
    return {
        "data": data.source,
        "images": len(images),
        "limit": data.limit,
        "image_size": images.image_size,
        "channels": images.channels,
        "sha256": hashlib.sha256(content.contiguous().numpy().data).hexdigest(),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
