"""What can still be told of images that were taken down: from the run before, from the new one, from a reference."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from sklearn.pipeline import Pipeline
from torch import Tensor
from tqdm import tqdm

from synthdata.data import Images, to_float, to_uint8
from synthdata.emission.guard import RealNeighbours
from synthdata.emission.run import load_part
from synthdata.errors import MisuseError
from synthdata.evaluation import extract_features, knn_top1, map_images
from synthdata.evaluation.probe import Split, fit_probe
from synthdata.models import Encoder, Generator
from synthdata.objectives import nt_xent
from synthdata.paths import PathText
from synthdata.ranges import NonNegativeInt, PositiveInt, Seed
from synthdata.reading import checked
from synthdata.rng import generator_at, latents_at
from synthdata.run_files import read_run
from synthdata.takedown.audit_report import as_markdown, save_plot, verdict
from synthdata.takedown.before import Before, Divided, divide, open_before
from synthdata.takedown.config import ForgettingConfig
from synthdata.takedown.membership import auc, bootstrapped, told_non_members, true_positive_rate, view_similarity
from synthdata.takedown.named import rows_of_list
from synthdata.takedown.shadows import attack_by_shadows
from synthdata.training.run_directory import write_aside, writing
from synthdata.views import RandomView

LEAST_IMAGES = 20
"""Retained and test images below which no rate means anything."""

_RELEARNING_RATE = 1e-3
_LOOK_EVERY = 5
_LOOKED_AT = 1024
"""Test images whose views every look at relearning compares with, the first ones: ten thousand would take minutes."""

_COPY_QUANTILE = 0.05
_BATCH = 128


@dataclass
class AuditConfig:
    """Tell what a run gives away of images that were taken down from it.

    Attributes:
        run: the run directory of the takedown.
        forget: the list of the images, as recipes/takedown.py read it.
        before: the run before; that of the takedown if not given.
        reference: a run that was trained without the images, whose values are the goal; without one, nothing says how
            much of them a run should know that never saw them.
        shadows: encoders that are trained, on halves of the images, for an attack on each image for itself: an even
            number, at least 4, each as long as the run before; 0 leaves it out. Those that are finished are kept.
        relearn_steps: most steps in which the encoder may learn the images again; 0 leaves this out.
        generated: generated images that are compared with the forgotten ones.
        seed: of what is drawn.
        output: folder of audit.json, audit.md and audit.png; the folder audit of the run if not given.
    """

    run: PathText = "runs/takedown"
    forget: PathText = "forget.txt"
    before: PathText | None = None
    reference: PathText | None = None
    shadows: NonNegativeInt = 0
    relearn_steps: NonNegativeInt = 100
    generated: PositiveInt = 1000
    seed: Seed = 0
    output: PathText | None = None


def audit(config: AuditConfig, accelerator: Accelerator) -> dict[str, Any]:
    """Measure, and write the three files.

    Returns:
        The content of audit.json.

    Raises:
        MisuseError: the list or a run cannot be used, or there are too few images.
        FailureError: the files cannot be written.
    """
    if config.shadows % 2 or config.shadows == 2:
        raise MisuseError(f"shadows is {config.shadows}: it must be an even number, at least 4, or 0 for none")
    if config.shadows and accelerator.num_processes > 1:
        raise MisuseError("shadows are trained on one process: start the audit without others")
    settings = read_run(Path(config.run)).config
    told = config.before or (settings.get("takedown") or {}).get("run")
    if told is None:
        raise MisuseError(f"{config.run} is no run of recipes/takedown.py: name one, or name the run --before it")
    before = open_before(Path(told))
    rows = rows_of_list(config.forget, before)
    images = divide(before, rows)
    if missing := set(rows) - set((settings.get("data") or {}).get("exclude") or []):
        raise MisuseError(
            f"{config.run} was trained on {len(missing)} of the {len(rows)} images that {config.forget} names: give the"
            " list that was taken down"
        )
    runs = {"before": before.folder, "after": Path(config.run)}
    if config.reference is not None:
        _check_reference(Path(config.reference), rows, before)
        runs["reference"] = Path(config.reference)
    measured = measure_runs(runs, images, before, config, accelerator.device)
    result = {"forgotten": len(images.forgotten), **measured, "verdict": verdict(measured)}
    folder = Path(config.output) if config.output else Path(config.run) / "audit"
    if config.shadows:
        forgetting = checked(settings.get("takedown") or {}, ForgettingConfig)
        told_apart = attack_by_shadows(before, images, forgetting, config.shadows, folder / "shadows", accelerator)
        result["per_example"] = told_apart
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_plot(measured, folder / "audit.png")
    write_aside(folder / "audit.json", json.dumps(result, indent=2) + "\n")
    write_aside(folder / "audit.md", as_markdown(result))
    return result


def measure_runs(
    runs: dict[str, Path], images: Divided, before: Before, config: AuditConfig, device: torch.device
) -> dict[str, Any]:
    """``power`` of the attack on the run before, and by name of a run in ``runs``, ``before`` among them, its measures.

    Raises:
        MisuseError: there are too few images, or a run lacks its encoder.
    """
    test, retained = images.retained.test, images.retained.train
    if min(len(test), len(retained)) < LEAST_IMAGES:
        raise MisuseError(
            f"{len(retained):,} retained and {len(test):,} test images are too few to tell anything by: at least"
            f" {LEAST_IMAGES} of each"
        )
    measured: dict[str, Any] = {}
    goal = 0.0
    for name, folder in tqdm(runs.items(), desc="audit", unit="run"):
        encoder: Encoder = load_part(folder, "encoder").to(device)
        scores = {
            part: view_similarity(encoder, each, before.config.views, device, seed=f"audit {config.seed}")
            for part, each in (("forgotten", images.forgotten), ("retained", retained), ("test", test))
        }
        if name == "before":
            members = torch.cat([scores["forgotten"], scores["retained"]])
            measured["power"] = _rates(members, scores["test"], config.seed)
            goal = float(scores["forgotten"].mean() - scores["test"][:_LOOKED_AT].mean())
        measured[name] = {
            "membership": _rates(scores["forgotten"], scores["test"], config.seed)
            | {"told_non_members": told_non_members(scores["forgotten"], scores["retained"], scores["test"])},
            "accuracy": accuracies(encoder, images, device),
        }
        if config.relearn_steps:
            measured[name]["relearn_steps"] = relearn(encoder, images, before, goal, config, device)
        if (folder / "generator" / "model_index.json").is_file() and before.config.arm != "real":
            generator: Generator = load_part(folder, "generator").to(device)
            measured[name]["generator"] = _of_generator(generator, encoder, images, config, device)
    return measured


def _rates(members: Tensor, others: Tensor, seed: int) -> dict[str, Any]:
    return {
        name: {"value": measure(members, others), "interval": list(bootstrapped(measure, members, others, seed))}
        for name, measure in (("auc", auc), ("true_positive_rate", true_positive_rate))
    }


def accuracies(encoder: Encoder, images: Divided, device: torch.device) -> dict[str, float]:
    """Accuracy in percent on retained, forgotten and test images, of a linear probe and of k-NN on retained features.

    Empty without labels.
    """
    if images.retained.classes is None:
        return {}
    named: dict[str, Images] = {
        "retained": images.retained.train,
        "forgotten": images.forgotten,
        "test": images.retained.test,
        "validation": images.retained.validation,
    }
    splits: dict[str, Split] = {}
    for name, part in named.items():
        labels = part.labels
        if labels is None or not (labels >= 0).any():
            continue
        features = extract_features(encoder, part, device)
        splits[name] = features[labels >= 0], labels[labels >= 0]
    if "retained" not in splits or "validation" not in splits or len(splits["retained"][1].unique()) < 2:
        return {}
    probe: Pipeline = fit_probe(splits["retained"], splits["validation"])[0]
    found = {}
    for name in ("retained", "forgotten", "test"):
        if name in splits:
            features, labels = splits[name]
            found[f"linear_{name}"] = round(100 * float(probe.score(features.numpy(), labels.numpy())), 2)
            found[f"knn_{name}"] = round(100 * knn_top1(splits["retained"], splits[name]), 2)
    return found


def relearn(
    encoder: Encoder, images: Divided, before: Before, goal: float, config: AuditConfig, device: torch.device
) -> int | None:
    """Steps of training on forgotten and retained images until the former are as well known again as they were.

    An encoder that has only hidden them knows them again sooner than one that never saw them.

    Args:
        goal: how much more alike their views were to the run before than views of test images.

    Returns:
        A multiple of 5; None if it takes more than ``config.relearn_steps``.
    """
    encoder, views = copy.deepcopy(encoder).train(), before.config.views
    view = RandomView(views, encoder.image_size, encoder.channels)
    optimizer = torch.optim.AdamW(encoder.parameters(), _RELEARNING_RATE, weight_decay=0.0)
    test = images.retained.test
    others = test.subset(torch.arange(min(len(test), _LOOKED_AT)))
    for step, batch in enumerate(_mixed(images, config.seed, device)):
        if step % _LOOK_EVERY == 0:
            known, expected = (
                view_similarity(encoder, part, views, device, seed=f"audit {config.seed}").mean()
                for part in (images.forgotten, others)
            )
            if float(known - expected) >= goal:
                return step
        if step == config.relearn_steps:
            return None
        first, second = (
            view.apply(batch, view.draw(len(batch), generator_at(config.seed, "relearn", number, step, device=device)))
            for number in (1, 2)
        )
        view_1, view_2 = encoder(torch.cat([first, second])).float().chunk(2)
        nt_xent(view_1, view_2, before.config.train.temperature).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    raise AssertionError("batches do not end")


def _mixed(images: Divided, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Batches with up to a quarter of forgotten images, the rest retained."""
    forgotten, retained = images.forgotten, images.retained.train
    own = min(len(forgotten), _BATCH // 4)
    step = 0
    while True:
        generator = generator_at(seed, "relearn batch", step)
        drawn = [
            part[int(place)]
            for part, count in ((forgotten, own), (retained, min(len(retained), _BATCH - own)))
            for place in torch.randperm(len(part), generator=generator)[:count]
        ]
        yield to_float(torch.stack(drawn).to(device))
        step += 1


@torch.inference_mode()
def _of_generator(
    generator: Generator, encoder: Encoder, images: Divided, config: AuditConfig, device: torch.device
) -> dict[str, float]:
    """How many of its images are near copies of forgotten ones, and what its own score gives away of these.

    The score is the discriminator's, or minus the denoising loss.
    """
    generator.eval()
    encoder.eval()

    def known(part: Images) -> RealNeighbours:
        embeddings = map_images(encoder, encoder, part, device)
        return RealNeighbours.of([(embeddings.to(device), part.gather().to(device))])

    forgotten, limit = known(images.forgotten), known(images.retained.train).copy_distance(_COPY_QUANTILE)
    near = 0
    for places in torch.arange(config.generated).split(_BATCH):
        made = generator.sample(latents_at(config.seed, places, generator.latent_shape).to(device), averaged=True)
        pixels = to_uint8(made)
        distance = forgotten.nearest(encoder(to_float(pixels)).float(), pixels).pixel_distance
        near += int((distance <= limit).sum())
    own, others = (
        map_images(lambda batch: generator.realism(batch)[:, None], generator, part, device)[:, 0]
        for part in (images.forgotten, images.retained.test)
    )
    return {"near_copies": near / config.generated, "score_auc": auc(own, others)}


def _check_reference(folder: Path, rows: list[int], before: Before) -> None:
    """Raise ``MisuseError`` unless the run in ``folder`` was trained on the same source without the images."""
    data = read_run(folder).config.get("data") or {}
    if data.get("source") != before.config.data.source:
        raise MisuseError(f"{folder} was trained on {data.get('source')}, not on {before.config.data.source}")
    if set(rows) - set(data.get("exclude") or []):
        raise MisuseError(f"{folder} was trained on images of the list: a reference is trained with --method retrain")
