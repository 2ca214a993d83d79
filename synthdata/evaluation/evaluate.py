"""Everything that is measured of one encoder, on one source of labelled images and on others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

from synthdata.comparison import Summary, markdown_table
from synthdata.data import DataConfig, RealData
from synthdata.errors import MisuseError
from synthdata.evaluation.alignment import alignment_and_uniformity
from synthdata.evaluation.corruptions import score_corruptions
from synthdata.evaluation.explore_exploit import check_images
from synthdata.evaluation.finetune import FineTuningConfig, fine_tune
from synthdata.evaluation.held_out_reach import HeldOutReach, held_out_reach
from synthdata.evaluation.labelled import load_labelled, load_transfer
from synthdata.evaluation.score import check_budgets, label_budgets, score_draws, score_name
from synthdata.models import Encoder
from synthdata.paths import PathText
from synthdata.ranges import PositiveInt, UnitInterval
from synthdata.views import ViewConfig

ALIGNMENT_IMAGES = 2000
"""Test images that alignment and uniformity are measured on; the latter compares all pairs of them."""

_MEASURES = {"_training_loss": ": training loss, nats", "_rank_share": ": rank over images"}

Values = dict[str, list[float]]
Task = tuple[str, str, Callable[[], Values]]
"""A source, the name of a measurement, and the measurement."""


@dataclass
class EvaluateConfig:
    """What is measured of an encoder.

    Attributes:
        encoder: a folder that holds an encoder, or OWNER/NAME on the Hub.
        data: labelled images; their size is the encoder's.
        transfer: other sources of labelled images, resized and converted to what the encoder takes.
        seeds: repetitions of what is random: the labels drawn, fine-tuning, views, the images of label reach.
        limit: the most labelled images that the linear probe trains on.
        label_shares: shares of the training images whose labels the low-label probes see.
        fine_tuning_share: share of the training images whose labels fine-tuning sees.
        fine_tuning: how all weights are trained.
        views: augmentation that alignment and uniformity are measured with.
        corruptions: also measure the probes of clean images on noisy, blurred, pale and coarse test images.
        reach_images: held-out labelled images of one draw of label reach; ten for each feature if not given. Encoders
            compare at equal numbers.
        output: folder for evaluation.json and evaluation.md; not written if not given.
        save_classifier: folder for the encoder with its linear probe as a classifier, which recipes/distil.py reads;
            not written if not given.
    """

    encoder: PathText = "runs/digits/encoder"
    data: DataConfig = field(default_factory=DataConfig)
    transfer: list[str] = field(default_factory=list)
    seeds: PositiveInt = 5
    limit: PositiveInt = 10_000
    label_shares: list[UnitInterval] = field(default_factory=lambda: [0.01, 0.1])
    fine_tuning_share: UnitInterval = 0.1
    fine_tuning: FineTuningConfig = field(default_factory=FineTuningConfig)
    views: ViewConfig = field(default_factory=ViewConfig.simclr)
    corruptions: bool = False
    reach_images: PositiveInt | None = None
    output: PathText | None = None
    save_classifier: PathText | None = None


@dataclass(frozen=True)
class Evaluation:
    """The scores on one source, by name.

    Accuracies are top-1 in percent, on the test split; choices are made on the validation split, whose scores have the
    prefix ``validation_``. Of the two phases of ``explore_exploit`` there are also the training loss in nats, and the
    rank of the widened features over the number of images. ``reach`` is None on transfer's images.
    """

    source: str
    scores: dict[str, Summary]
    reach: HeldOutReach | None = None


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and on what.

    Attributes:
        encoder: on its device.
        data: labelled images of ``EvaluateConfig.data``.
        others: labelled images by source of ``EvaluateConfig.transfer``.
    """

    encoder: Encoder
    data: RealData
    others: dict[str, RealData]


def open_subject(config: EvaluateConfig, device: torch.device) -> Subject:
    """Load the encoder and the images.

    Raises:
        MisuseError: there is no encoder, or images do not fit it or have no labels.
    """
    if config.data.source in config.transfer:
        raise MisuseError(f"transfer names {config.data.source}, which is data.source: name other data")
    encoder = Encoder.from_pretrained(config.encoder).to(device)
    data = load_labelled(encoder, config.data)
    return Subject(encoder, data, {source: load_transfer(encoder, source, config.data) for source in config.transfer})


def evaluate(subject: Subject, config: EvaluateConfig, accelerator: Accelerator) -> list[Evaluation]:
    """The scores on ``config.data``, then those on each of ``config.transfer``. Several processes compute the same.

    Raises:
        MisuseError: more labels are asked for than ``config.limit`` or ``config.fine_tuning.wrapper`` allows, or more
            images for label reach than are held out.
    """
    encoder, device = subject.encoder, accelerator.device
    reach = held_out_reach(encoder, subject.data, device, config.seeds, config.reach_images)
    tasks = list(_tasks(subject, config, accelerator))
    for source, other in subject.others.items():
        tasks.append((source, "transfer", partial(score_draws, encoder, other, device, config.limit)))
    values: dict[str, Values] = {}
    with tqdm(tasks, disable=not accelerator.is_main_process, leave=False) as progress:
        for source, name, measure in progress:
            progress.set_description(f"{name}, {source}")
            for score, measured in measure().items():
                values.setdefault(source, {}).setdefault(score, []).extend(measured)
    return [
        Evaluation(
            source,
            {name: Summary.of(measured) for name, measured in scores.items()},
            reach if source == config.data.source else None,
        )
        for source, scores in values.items()
    ]


def _tasks(subject: Subject, config: EvaluateConfig, accelerator: Accelerator) -> Iterator[Task]:
    """What is measured on ``config.data``, in the order of the table."""
    encoder, data, source, device = subject.encoder, subject.data, config.data.source, accelerator.device
    budgets = label_budgets(data, config.label_shares)
    check_budgets(budgets, config.limit, "limit")
    yield source, "probes", partial(score_draws, encoder, data, device, config.limit, budgets, draws=config.seeds)
    (tuned,) = label_budgets(data, [config.fine_tuning_share])
    if config.fine_tuning.steps and config.fine_tuning.wrapper:
        check_images(tuned)
    for seed in range(config.seeds if config.fine_tuning.steps else 0):
        yield source, "fine-tuning", partial(_fine_tuned, encoder, data, tuned, seed, config.fine_tuning, accelerator)
    for seed in range(config.seeds):
        yield source, "alignment", partial(_alignment, encoder, data, config.views, seed, device)
    if config.corruptions:
        yield source, "corruptions", partial(score_corruptions, encoder, data, device, config.limit)


def _fine_tuned(
    encoder: Encoder, data: RealData, budget: int, seed: int, config: FineTuningConfig, accelerator: Accelerator
) -> Values:
    way = f"{config.wrapper or 'fine_tuned'}_{budget}_labels"
    scores = fine_tune(encoder, data, budget, seed, config, accelerator)
    accuracies = {score_name(split, f"{way}_top1"): [scores.pop(split)] for split in ("validation", "test")}
    return accuracies | {f"{way}_{name}": [value] for name, value in scores.items()}


def _alignment(encoder: Encoder, data: RealData, views: ViewConfig, seed: int, device: torch.device) -> Values:
    scores = alignment_and_uniformity(encoder, data.test, views, seed, device, ALIGNMENT_IMAGES)
    return {name: [value] for name, value in scores.items()}


def as_json(evaluations: Sequence[Evaluation], encoder: str) -> dict[str, Any]:
    """All scores by source and name, those on validation splits included, and label reach by source."""
    return {
        "encoder": encoder,
        "scores": {
            evaluation.source: {name: summary.as_json() for name, summary in evaluation.scores.items()}
            for evaluation in evaluations
        },
        "label_reach": {
            evaluation.source: evaluation.reach.as_json() for evaluation in evaluations if evaluation.reach is not None
        },
    }


def as_markdown(evaluations: Sequence[Evaluation], encoder: str) -> str:
    """One table of all scores on the test splits."""
    told = (
        "Top-1 accuracies in percent on the test split; of alignment and uniformity, lower is better. Label reach: the"
        " share of the labels' variance that a linear readout of the features can express, chance that of permuted"
        " labels. Mean ± standard deviation over what is random: labels, fine-tunings, views, images."
    )
    rows = []
    for evaluation in evaluations:
        shown = {name: each for name, each in evaluation.scores.items() if not name.startswith("validation_")}
        rows += [[evaluation.source, _titled(name), str(summary)] for name, summary in shown.items()]
        if evaluation.reach is not None:
            rows.append([evaluation.source, "label reach", str(evaluation.reach)])
    table = markdown_table(["images", "measure", "score"], rows)
    return "\n\n".join([f"# {encoder}", told, table + _guarantee(evaluations)])


def _guarantee(evaluations: Sequence[Evaluation]) -> str:
    """A paragraph on whether the two phases can fit the labels; empty without them."""
    shares = [summary for each in evaluations for name, summary in each.scores.items() if name.endswith("_rank_share")]
    if not shares:
        return ""
    values = [value for summary in shares for value in summary.values]
    full = sum(value == 1 for value in values)
    if full == len(values):
        told = "The widened features have full rank: enough steps bring the training loss as near to 0 as one likes."
    else:
        told = (
            f"The widened features have full rank in {full} of {len(values)} fine-tunings. In the others the training"
            " loss may have a floor above 0: images are alike to the encoder, or its features are saturated."
        )
    return f"\n{told} A training loss near 0 is not a better classifier, least of all where labels are wrong.\n"


def _titled(name: str) -> str:
    """``linear_12_labels_top1`` as it is told in a table: linear, 12 labels."""
    way, _, measure = name.removesuffix("_top1").partition("_labels")
    kind, _, labels = way.rpartition("_")
    title = f"{kind}, {int(labels):,} labels" if labels.isdecimal() else name.removesuffix("_top1")
    title = title.replace("explore_exploit", "explore-exploit").replace("knn", "k-NN")
    return title.replace("fine_tuned", "fine-tuned").replace("_", " ") + _MEASURES.get(measure, "")
