"""The page of a run: how far it is, what it scored, how it went, what it made, and what it was told."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthdata.publishing.model_card import METHODS, SYNTHETIC, score_title, shareable
from synthdata.publishing.pages.charts import Chart, line_chart, parts_of_a_whole
from synthdata.publishing.pages.document import moment, write_document
from synthdata.publishing.pages.images import Picture, picture_file
from synthdata.publishing.pages.provenance import Step
from synthdata.publishing.sources import describe_shards, describe_source
from synthdata.run_files import read_run_file

_BUDGET = 5_500_000
"""Characters that all images of a page may take."""

_CURVES: list[tuple[str, str, tuple[str, ...]]] = [
    ("Losses", "nats", ("contrastive", "realism_a", "realism_b", "critic_adversarial")),
    ("Hardness of synthetic and of real images", "nats", ("hardness", "real_hardness")),
    ("Similarity of pairs and its schedule", "cosine similarity", ("similarity", "similarity_target")),
    ("Terms of the generator", "weighted loss", ("confidence", "diversity", "statistics", "smoothness")),
    ("Share above the realism floor", "share of samples", ("above_realism_floor",)),
]
_PLACES = ("iteration", "phase", "step", "images")


@dataclass(frozen=True)
class Setting:
    """One line of the configuration.

    Attributes:
        key: with dots.
        value: as the run has it.
        default: as it would have been; the same where nothing is known of it.
        changed: whether they differ.
    """

    key: str
    value: str
    default: str
    changed: bool


@dataclass(frozen=True)
class Standing:
    """How far a run is.

    Attributes:
        state: finished, running or stopped, as far as its files tell.
        done: iterations.
        of: iterations of the whole run; 0 if that is not known.
        updated: when this was so, in UTC.
        left: seconds to the end at the pace of the last phase; None if it has ended.
    """

    state: str
    done: int
    of: int
    updated: str
    left: float | None


def write_run_page(run: Path, defaults: Mapping[str, Any] | None = None) -> Path:
    """Write index.html of a run from what it has left on the disk, finished or not.

    Args:
        run: the run directory.
        defaults: the configuration that the run would have had if nothing had been said; None to mark no differences.

    Raises:
        MisuseError: the directory holds no run, or its files are damaged.
        FailureError: the page cannot be written.
    """
    config = shareable(read_run_file(run / "config.yaml", dict[str, Any]))
    report, progress = (_optional(run / name) for name in ("report.json", "progress.json"))
    metrics = list(_metrics(run / "metrics.jsonl"))
    grids = _grids(run / "samples")
    return write_document(
        run,
        "run.html",
        name=run.resolve().name,
        what=_what(config),
        config=config,
        report=report,
        standing=_standing(report, progress, metrics),
        scores=_scores(report),
        curves=list(_curves(metrics)),
        grids=grids,
        settings=_settings(config, shareable(dict(defaults)) if defaults else {}),
        phases=_phases(progress),
        parts_of_run=_parts(progress),
        steps=_provenance(run, config, report),
        command=_command(run, config),
        files=[name for name in ("report.json", "metrics.jsonl", "config.yaml") if (run / name).is_file()],
    )


def _optional(path: Path) -> dict[str, Any]:
    return read_run_file(path, dict[str, Any]) if path.exists() else {}


def _metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The logged lines, without one that a kill has cut short."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _what(config: dict[str, Any]) -> str:
    if "classifier" in config:
        return "Training of a generator from a classifier alone"
    if "method" in config:
        return f"Contrastive training of an encoder: {METHODS.get(config['method'], config['method'])}"
    if "takedown" in config:
        return f"Takedown of images from a joint training, by the method {config['takedown']['method']}"
    arm = config.get("arm", "")
    beside = {"real": "real images alone", "both": "real images, hard samples and positive pairs"}
    images = beside.get(arm, f"real images and {SYNTHETIC.get(arm, 'synthetic ones')}")
    return f"Joint training of an encoder and a generator, arm {arm}: {images}"


def _standing(report: dict[str, Any], progress: dict[str, Any], metrics: list[dict[str, Any]]) -> Standing:
    done = progress.get("iteration", metrics[-1]["iteration"] + 1 if metrics else 0)
    of, updated = progress.get("iterations", 0), moment(progress["updated"]) if progress else ""
    if report:
        return Standing("finished", done, of or done, updated, None)
    parts, phases = progress.get("parts", []), progress.get("phases", {})
    stopped = bool(parts) and parts[-1]["ended"] is not None and done < of
    left = None
    if phases and not stopped:
        last = phases[next(reversed(phases))]
        left = (of - done) * last["seconds"] / max(last["iterations"], 1)
    return Standing("stopped" if stopped else "running", done, of, updated, left)


def _scores(report: dict[str, Any]) -> list[tuple[str, list[float], list[float]]]:
    """Name, values on the test split and on the validation split, in percent: several where they were drawn anew."""
    draws = report.get("draws", {})
    names = dict.fromkeys(name.removeprefix("validation_") for name in report if name.endswith("_top1"))

    def values(name: str) -> list[float]:
        return draws.get(name) or ([report[name]] if name in report else [])

    return [(score_title(name), values(name), values(f"validation_{name}")) for name in names]


def _curves(metrics: list[dict[str, Any]]) -> Iterator[Chart]:
    starts: dict[str, int] = {}
    for line in metrics:
        starts.setdefault(line["phase"], line["iteration"])
    marks = [(float(at), phase) for phase, at in list(starts.items())[1:]]
    known = {term for _, _, terms in _CURVES for term in terms}
    terms = dict.fromkeys(term for line in metrics for term in line if term not in _PLACES)
    others = [(term.replace("_", " ").capitalize(), "", (term,)) for term in terms if term not in known]
    for title, unit, group in [*_CURVES, *others]:
        series = {
            term.replace("_", " "): [
                (float(line["iteration"]), line[term]) for line in metrics if math.isfinite(line.get(term, math.nan))
            ]
            for term in group
        }
        if present := {name: points for name, points in series.items() if points}:
            yield line_chart(title, present, ("iteration", unit), marks=marks)


def _grids(folder: Path) -> list[tuple[str, Picture]]:
    """Step and grid, in order: as many of them, evenly spread, as a page has room for."""
    paths = sorted(folder.glob("step-*.png"))
    for every in range(1, len(paths) + 1):
        chosen = paths[::-1][::every][::-1]
        if sum(path.stat().st_size for path in chosen) * 4 / 3 < _BUDGET or len(chosen) == 1:
            return [(f"step {int(path.stem.removeprefix('step-')):,}", picture_file(path)) for path in chosen]
    return []


def _settings(config: dict[str, Any], defaults: dict[str, Any]) -> list[Setting]:
    before = dict(_leaves(defaults))
    return [
        Setting(key, _told(value), _told(before.get(key, value)), before.get(key, value) != value)
        for key, value in _leaves(config)
    ]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_told, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _phases(progress: dict[str, Any]) -> Chart | None:
    phases = progress.get("phases", {})
    seconds = {f"{name} ({each['iterations']:,} iterations)": round(each["seconds"]) for name, each in phases.items()}
    return parts_of_a_whole("Time of the phases", "seconds", seconds) if sum(seconds.values()) else None


def _parts(progress: dict[str, Any]) -> list[list[str]]:
    """Number, iterations, beginning and end of every part that the run was made in."""
    return [
        [
            f"{number}",
            f"{part['from']:,} to {part['to']:,}",
            moment(part["began"]),
            moment(part["ended"]) if part["ended"] else "not told: it was killed, or it goes on",
        ]
        for number, part in enumerate(progress.get("parts", []), 1)
    ]


def _provenance(run: Path, config: dict[str, Any], report: dict[str, Any]) -> list[Step]:
    steps = []
    if config.get("data"):
        limit = config["data"].get("limit")
        steps.append(
            Step(
                "Source",
                [describe_source(config["data"]["source"])["description"], f"{limit:,} images" if limit else ""],
            )
        )
    if config.get("shards"):
        steps.append(Step("Dataset", [describe_shards(config["shards"])["description"]]))
    if config.get("classifier"):
        steps.append(Step("Classifier", [f"`{config['classifier']}`"]))
    if pretrained := (config.get("generator") or {}).get("pretrained"):
        steps.append(Step("Pre-trained generator", [f"`{pretrained}`"]))
    facts = [f"seed {config['seed']}"]
    seen = "made" if "classifier" in config else "through the encoder"
    facts += [f"{report['images_seen']:,} images {seen}"] if "images_seen" in report else []
    steps.append(Step(f"Run {run.resolve().name}", facts, here=True))
    made = [f"`{name}/`" for name in ("encoder", "generator") if (run / name).is_dir()]
    return [*steps, Step("Models", made)] if made else steps


def _command(run: Path, config: dict[str, Any]) -> str:
    if "takedown" in config:
        before, method = config["takedown"]["run"], config["takedown"]["method"]
        told = f"--run {before} --method {method} --forget LIST"
        return f"accelerate launch recipes/takedown.py {told} --output_dir {run.resolve().name}-again"
    recipe = "distil" if "classifier" in config else "contrast" if "method" in config else "joint"
    name = run.resolve().name
    return f"accelerate launch recipes/{recipe}.py --config {name}/config.yaml --output_dir {name}-again"
