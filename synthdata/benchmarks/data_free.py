"""What a classifier's replay is worth: students that learn from it alone, scored on real images."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from datasets import load_dataset
from torch import Tensor, nn

from synthdata.benchmarks.machine import describe_machine
from synthdata.comparison import Summary
from synthdata.data import DataConfig, Images, RealData, load_images
from synthdata.data.decode import PixelFormat
from synthdata.data.source import ArrayRows, SourceSplit
from synthdata.emission import read_manifest
from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.emission.guard import RealNeighbours
from synthdata.errors import MisuseError
from synthdata.evaluation.features import map_images
from synthdata.evaluation.finetune import FineTuningConfig, Labelled, draw_labelled, top1, train_classifier
from synthdata.models import Classifier, DataFreeConfig, EncoderConfig, LinearClassifier, load_classifier
from synthdata.paths import PathText
from synthdata.publishing.complete import complete_dataset
from synthdata.ranges import PositiveInt, UnitInterval
from synthdata.rng import generator_at
from synthdata.training import DistilConfig, distil
from synthdata.training.distil import DistilTrainConfig
from synthdata.training.execution import build_encoder

Arm = Literal["replay", "untrained", "real"]
_COPY_QUANTILE = 0.05
_VALIDATION = 10
"""One row in so many of a replay chooses the student's weights: no real image does."""


@dataclass
class DataFreeBenchmarkConfig:
    """Students that learn from a classifier's replay alone, scored on real images, beside those of the real images.

    The control is the replay of a classifier that was never trained. Near copies are looked for among the real training
    images, beside as many held-out real images.

    Attributes:
        classifier: as recipes/distil.py takes it; one is trained with the labels of ``data`` if not given.
        data: real, labelled images.
        encoder: network of the students, and of classifiers that are trained here.
        labels: labelled images that a classifier is trained with.
        teaching: its training.
        learning: training of the students.
        generator: architecture and terms of the generator.
        train: its training.
        rows: rows of a replay.
        least_confidence: no row is in it that the classifier is less sure of.
        arms: what students learn from: the classifier's replay, that of one that was never trained, real images.
        seeds: repetitions of everything that is random.
        split: "validation" while settings are chosen; "test" for the final figures.
        output: folder of the runs and datasets; what is there already is kept.
    """

    classifier: str | None = None
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    labels: PositiveInt = 5000
    teaching: FineTuningConfig = field(default_factory=FineTuningConfig)
    learning: FineTuningConfig = field(default_factory=FineTuningConfig)
    generator: DataFreeConfig = field(default_factory=DataFreeConfig)
    train: DistilTrainConfig = field(default_factory=DistilTrainConfig)
    rows: PositiveInt = 3000
    least_confidence: UnitInterval = 0.0
    arms: list[Arm] = field(default_factory=lambda: ["replay", "untrained", "real"])
    seeds: PositiveInt = 3
    split: Literal["validation", "test"] = "test"
    output: PathText = "runs/data-free"


def data_free_table(config: DataFreeBenchmarkConfig) -> str:
    """The scores of all seeds as lines to print, with their means.

    Raises:
        MisuseError: the data have no labels, or the classifier does not fit them.
    """
    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    data = load_images(config.data)
    if data.classes is None:
        raise MisuseError(f"{config.data.source} has no labels: students are scored with them")
    scores = [_kept(config, seed, partial(_measure, config, data, seed, accelerator)) for seed in range(config.seeds)]
    heading = f"{describe_machine(accelerator.device)}; {config.data.source}, {config.split} split"
    return "\n".join([heading, *_lines(scores)])


def _kept(config: DataFreeBenchmarkConfig, seed: int, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The scores of a seed, measured unless an earlier call has left them."""
    settings = json.loads(json.dumps({name: value for name, value in asdict(config).items() if name != "seeds"}))
    path = Path(config.output) / f"seed-{seed}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"settings": settings, "scores": measure()}, indent=2) + "\n")
    kept = json.loads(path.read_text())
    if kept["settings"] != settings:
        raise MisuseError(f"{path} was measured with other settings: name another --output")
    return dict(kept["scores"])


def _lines(scores: Sequence[dict[str, float]]) -> list[str]:
    """A line for each measurement: mean, spread and the values of the seeds."""
    lines = []
    for name in scores[0]:
        summary = Summary.of([score[name] for score in scores])
        spread = f" ± {summary.std:.3f}" if len(scores) > 1 else ""
        values = ", ".join(f"{value:.3f}" for value in summary.values)
        lines.append(f"{name:<50}{summary.mean:>9.3f}{spread}  ({values})")
    return lines


def _measure(config: DataFreeBenchmarkConfig, data: RealData, seed: int, accelerator: Accelerator) -> dict[str, float]:
    folder = Path(config.output) / f"seed-{seed}"
    held_out, device = data.test if config.split == "test" else data.validation, accelerator.device
    assert data.classes is not None
    taught = _taught(config, data, seed, folder, accelerator)
    scores = {"classifier, top-1 %": top1(taught.to(device), held_out, device)}
    for arm in config.arms:
        student = _network(config, data, seed, "student")
        if arm == "real":
            labelled = draw_labelled(data, config.rows, seed)
            train_classifier(student, labelled, data.validation, seed, config.learning, accelerator)
            scores["student of real images, top-1 %"] = top1(student, held_out, device)
            continue
        classifier = taught if arm == "replay" else _untrained(config, data, seed)
        dataset, report = _replay(config, classifier, seed, folder / arm)
        replay = read_replay(dataset)
        _learn(student, replay, seed, config, accelerator)
        scores |= {
            f"student of {arm}, top-1 %": top1(student, held_out, device),
            f"{arm}: class entropy": report["class_entropy"],
            f"{arm}: mean confidence": report["mean_confidence"],
        }
        if arm == "replay":
            scores |= _copies(taught, data, replay.images, held_out, device)
    return scores


def _network(config: DataFreeBenchmarkConfig, data: RealData, seed: int, purpose: str) -> LinearClassifier:
    """A network that knows nothing."""
    assert data.classes is not None
    torch.manual_seed(generator_at(seed, purpose).initial_seed())
    return LinearClassifier(build_encoder(config.encoder, data.train.image_size, data.channels), len(data.classes))


def _untrained(config: DataFreeBenchmarkConfig, data: RealData, seed: int) -> Classifier:
    """A classifier that knows nothing, but whose answers differ."""
    network = _network(config, data, seed, "untrained")
    assert isinstance(network.head, nn.Linear)
    network.head.reset_parameters()
    assert data.classes is not None
    return Classifier.of_encoder(network, data.classes)


def _taught(
    config: DataFreeBenchmarkConfig, data: RealData, seed: int, folder: Path, accelerator: Accelerator
) -> Classifier:
    """The classifier that is given, or one that learns from labelled images."""
    assert data.classes is not None
    source = Path(config.classifier or folder / "classifier")
    if not config.classifier and not source.exists():
        network = _network(config, data, seed, "classifier")
        labelled = draw_labelled(data, min(config.labels, len(data.labelled)), seed)
        train_classifier(network, labelled, data.validation, seed, config.teaching, accelerator)
        Classifier.of_encoder(network.cpu(), data.classes).save_pretrained(source)
    classifier = load_classifier(config.classifier or source, data.train.image_size)
    if (classifier.channels, classifier.classes) != (data.channels, data.classes):
        raise MisuseError(f"{source} does not have the classes and channels of {config.data.source}: name its own data")
    return classifier


def _replay(
    config: DataFreeBenchmarkConfig, classifier: Classifier, seed: int, folder: Path
) -> tuple[Path, dict[str, Any]]:
    """A dataset of the kind "replay" in ``folder``, and the report of its generator's training."""
    run, dataset = folder / "run", folder / "dataset"
    settings = DistilConfig(
        classifier=config.classifier or "trained here",
        seed=seed,
        output_dir=str(run),
        resume=True,
        generator=config.generator,
        train=config.train,
    )
    report = distil(settings, classifier)
    least = config.least_confidence if folder.name == "replay" else 0.0
    emit(EmissionConfig(run=str(run), output=str(dataset), replay=config.rows, seed=seed, least_confidence=least))
    complete_dataset(dataset, page=False)
    return dataset, report


def read_replay(folder: Path) -> Labelled:
    """The rows of a dataset of the kind "replay", read as its card says."""
    source = read_manifest(folder)["run"]["source"]
    rows = list(load_dataset(str(folder), "replay", split="train", streaming=True))
    labels = torch.tensor([row["json"]["label"] for row in rows])
    arrays = np.stack([np.asarray(row["png"]) for row in rows])
    pixel_format = PixelFormat(source["channels"], source["image_size"])
    split = SourceSplit(ArrayRows(arrays, str(folder)), labels)
    return Labelled(Images(split, torch.arange(len(labels)), pixel_format, arrays.nbytes), labels)


def _learn(
    student: LinearClassifier, replay: Labelled, seed: int, config: DataFreeBenchmarkConfig, accelerator: Accelerator
) -> None:
    """Train a student on a replay, of which a part chooses its weights."""
    held_back = torch.arange(len(replay.labels)) % _VALIDATION == 0
    kept = (~held_back).nonzero().flatten()
    learned = Labelled(replay.images.subset(kept), replay.labels[kept])
    validation = replay.images.subset(held_back.nonzero().flatten())
    train_classifier(student, learned, validation, seed, config.learning, accelerator)


def _copies(
    classifier: Classifier, data: RealData, replay: Images, held_out: Images, device: torch.device
) -> dict[str, float]:
    """How close replay images, and held-out ones, come to the training images, as the memorisation guard compares."""

    def embeddings(images: Images) -> Tensor:
        network = classifier.network
        features = network.encoder.features if isinstance(network, LinearClassifier) else network
        return F.normalize(map_images(features, classifier, images, device).float())

    assert data.labelled.pixels is not None
    neighbours = RealNeighbours.of([(embeddings(data.labelled), data.labelled.pixels)])
    limit = neighbours.copy_distance(_COPY_QUANTILE)
    scores: dict[str, float] = {}
    for name, images in (("replay", replay), ("held-out", held_out)):
        some = images.subset(torch.arange(min(len(images), 1000)))
        assert some.pixels is not None
        distances = neighbours.nearest(embeddings(some), some.pixels).pixel_distance
        scores |= {
            f"nearest training image to {name}, RMS, median": float(distances.median()),
            f"nearest training image to {name}, RMS, least": float(distances.min()),
            f"near copies among {name}, %": 100 * float((distances <= limit).double().mean()),
        }
    return scores
