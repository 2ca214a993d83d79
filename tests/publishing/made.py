"""Datasets, runs and comparisons as the pages read them, made directly: no model takes part; and what pages hold."""

import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from synthdata.emission.encoding import parquet_features
from synthdata.emission.kinds import CANDIDATES, KINDS, Kind

SHARD_ROWS = 20_000


def write_dataset(folder: Path, kind: Kind, rows: int, size: int = 16, channels: int = 1, **manifest: Any) -> Path:
    """Parquet shards of ``rows`` noisy images that repeat after fifty, with scores of their own; and a manifest."""
    random = np.random.default_rng(0)
    pool = [noisy_png(random, size, channels) for _ in range(min(rows, 50))]
    scores = {
        KINDS[kind].score: np.round(random.uniform(0.5, 0.9, rows), 6),
        "realism": np.round(random.normal(0, 1, rows), 6),
        "nearest_similarity": np.round(random.beta(8, 2, rows), 6),
    }
    shards = []
    for number, start in enumerate(range(0, rows, SHARD_ROWS)):
        path = folder / "data" / kind / f"{kind}-{number:05d}-of-{-(-rows // SHARD_ROWS):05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        indices = np.arange(start, min(start + SHARD_ROWS, rows))
        _write_shard(path, kind, indices, pool, scores)
        content = path.read_bytes()
        told = {"path": path.relative_to(folder).as_posix(), "kind": kind, "first_row": start, "rows": len(indices)}
        shards.append(told | {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    folder.mkdir(parents=True, exist_ok=True)
    content = _manifest(kind, rows, size, channels, scores, shards) | manifest
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


def noisy_png(random: np.random.Generator, size: int, channels: int) -> bytes:
    """An image that compresses about as well as a photograph."""
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    noise = random.integers(-8, 9, (size, size, 3))
    image = Image.fromarray((np.asarray(coarse, np.int64) + noise).clip(0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    (image if channels == 3 else image.convert("L")).save(buffer, "PNG")
    return buffer.getvalue()


def _write_shard(path: Path, kind: Kind, indices: np.ndarray, pool: list[bytes], scores: dict[str, np.ndarray]) -> None:
    schema, columns = parquet_features(kind).arrow_schema, {}
    for number, name in enumerate(schema.names):
        if name.startswith("image"):
            encoded = [pool[(index + number) % len(pool)] for index in indices.tolist()]
            nothing = pa.nulls(len(indices), pa.string())
            columns[name] = pa.StructArray.from_arrays([pa.array(encoded, pa.binary()), nothing], ["bytes", "path"])
        elif name in scores:
            columns[name] = pa.array(scores[name][indices])
        else:
            columns[name] = pa.array(indices if name == "index" else np.zeros_like(indices))
    pq.write_table(pa.table(columns, schema), path, row_group_size=100)


def _manifest(
    kind: Kind, rows: int, size: int, channels: int, scores: dict[str, np.ndarray], shards: list[dict[str, Any]]
) -> dict[str, Any]:
    counted = {**scores, CANDIDATES: scores[KINDS[kind].score]} if rows else {}
    columns = {name: _column(values) for name, values in counted.items()}
    return {
        "manifest_version": 1,
        "settings": {
            "seed": 0,
            "format": "parquet",
            "image_format": "png",
            "quality": 95,
            "license": "cc-by-4.0",
            "memorisation_quantile": 0.05,
        },
        "run": {
            "encoder": {"class": "Encoder", "sha256": {"model.safetensors": "e" * 64}},
            "generator": {"class": "GAN", "sha256": {"generator/weights.safetensors": "f" * 64}},
            "source": {
                "data": "digits",
                "images": 1197,
                "limit": None,
                "image_size": size,
                "channels": channels,
                "sha256": "a" * 64,
            },
            "temperature": 0.2,
        },
        "training": {"arm": "both", "seed": 3, "steps": 400},
        "criteria": {
            kind: {
                "kind": kind,
                "seed": 0,
                "oversample": 2,
                "band": [0.6, 0.8],
                "realism_floor": -1.0,
                "copy_distance": 0.07,
                "edges": {name: _column(values)["edges"] for name, values in scores.items()} if rows else {},
            }
        },
        "made_with": {"command": "accelerate launch recipes/emit.py", "device": "cpu", "versions": {"synthdata": "0"}},
        "kinds": {
            kind: {
                "rows": rows,
                "bytes": sum(shard["bytes"] for shard in shards),
                "candidates": 2 * rows,
                "dropped": {"memorised": 0, "unrealistic": rows},
                "columns": columns,
            }
        },
        "shards": shards,
    }


def _column(values: np.ndarray) -> dict[str, Any]:
    counts, edges = np.histogram(values, 20)
    told = {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}
    return told | {"histogram": counts.tolist(), "edges": edges.tolist()}


def write_comparison(folder: Path, ways: dict[str, float], seeds: int = 3) -> Path:
    """report.json of a comparison at two numbers of real images; each way adds so many points to ``real``."""
    random = np.random.default_rng(1)
    runs = [
        {
            "way": way,
            "real_images": images,
            "seed": seed,
            "scores": {
                measure: round(float(80 + images / 200 + gain + seed + random.normal(0, 0.3)), 2)
                for measure in ("linear_top1", "knn_top1")
            },
        }
        for way, gain in ways.items()
        for images in (300, 1000)
        for seed in range(seeds)
    ]
    report = {
        "source": "digits",
        "split": "test",
        "shards": ["out/digits"],
        "method": "simclr",
        "steps": 60,
        "anchors_per_step": 128,
        "device": "cpu",
        "data_efficiency": {"linear_top1": {way: 1.5 for way in ways if way != "real"}},
        "runs": runs,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def write_headline(folder: Path, finished: int, left: int) -> Path:
    """table.json and config.yaml of a headline table with so many trainings of two arms."""
    runs = [
        {
            "arm": ("real", "both")[number % 2],
            "seed": number // 2,
            "images": 1000,
            "steps": 10,
            "scores": {"linear_top1": 50.0 + number, "knn_top1": 40.0 + number},
            "minutes": 1.0,
            "machine": {"device": "cpu"},
        }
        for number in range(finished)
    ]
    table = {"source": "digits", "split": "test", "images": 1000, "steps": 10, "batch_size": 16, "improved": "both"}
    table |= {"arms": ["real", "both"], "runs": runs, "generators": [], "left": [f"both-{n}" for n in range(left)]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps(table))
    (folder / "config.yaml").write_text(yaml.safe_dump({"arm": "both"}))
    return folder


def write_run_files(folder: Path, done: int, of: int) -> Path:
    """What a joint training of ``of`` iterations has left after ``done`` of them, with two sample grids and no models.

    It was interrupted once; it has a report when it is done.
    """
    (folder / "samples").mkdir(parents=True)
    random = np.random.default_rng(0)
    for step in (0, 100):
        (folder / "samples" / f"step-{step:06d}.png").write_bytes(noisy_png(random, 300, 3))
    config = {"arm": "both", "seed": 0, "data": {"source": "digits", "limit": None}, "train": {"temperature": 0.2}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = []
    for iteration in range(9, done, 10):
        place = {"iteration": iteration, "phase": "pre-training" if iteration < 50 else "joint", "step": iteration}
        terms = {"hardness": 2 - iteration / 200, "real_hardness": 1.5, "similarity": 0.9, "similarity_target": 0.8}
        lines.append(json.dumps(place | {"images": 0, "contrastive": 4 / (iteration + 1)} | terms) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    began, ended = "2026-01-02T03:04:05+00:00", "2026-01-02T03:14:05+00:00"
    parts = [{"from": 0, "to": 60, "began": began, "ended": None}, {"from": 50, "to": done, "began": ended}]
    parts[1]["ended"] = ended if done == of else None
    progress = {"iteration": done, "iterations": of, "updated": ended, "parts": parts}
    phases = {"pre-training": {"iterations": 60, "seconds": 30.0}, "joint": {"iterations": done - 50, "seconds": 80.0}}
    (folder / "progress.json").write_text(json.dumps(progress | {"phases": phases}))
    if done == of:
        report = {
            "arm": "both",
            "seed": 0,
            "steps": 150,
            "images_seen": 19200,
            "linear_top1": 97.5,
            "wall_seconds": 99.0,
        }
        report |= {"images_per_second": 120.0, "device": "cpu", "processes": 1, "versions": {"synthdata": "0"}}
        (folder / "report.json").write_text(json.dumps(report))
    return folder


def text_of(page: Path) -> str:
    """What a person reads, without styles, script and images."""
    content = re.sub(r"<(style|script)>.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", content)).split())


def images_of(page: Path) -> list[Image.Image]:
    encoded = re.findall(r'<img[^>]* src="data:image/\w+;base64,([^"]*)"', page.read_text(encoding="utf-8"))
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in encoded]
