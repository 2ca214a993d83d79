"""Tiny datasets in the layout that an emission leaves behind."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = {"hard": ("png",), "pairs": ("a.png", "b.png")}


def write_webdataset(folder: Path, rows: int = 4, shards: int = 2, seed: int = 0) -> Path:
    """``rows`` hard samples and as many pairs of 8×8 grey images, in ``shards`` tar shards each; card and manifest."""
    random = np.random.default_rng(seed)
    for kind, images in KINDS.items():
        for shard in range(shards):
            path = folder / "data" / kind / f"{kind}-{shard:05d}-of-{shards:05d}.tar"
            path.parent.mkdir(parents=True, exist_ok=True)
            with tarfile.open(path, "w") as tar:
                for index in range(shard, rows, shards):
                    for image in images:
                        _add(tar, f"{index:08d}.{image}", _png(random))
                    _add(tar, f"{index:08d}.json", json.dumps({"index": index, "seed": seed, "realism": 0.5}).encode())
    _write_card(folder, "tar")
    _write_manifest(folder, rows, shards)
    return folder


def write_parquet(folder: Path, rows: int = 4, seed: int = 0) -> Path:
    """``rows`` hard samples and as many pairs of 8×8 grey images, in one Parquet shard each; card and manifest."""
    import datasets

    random = np.random.default_rng(seed)
    for kind, columns in {"hard": ("image",), "pairs": ("image_a", "image_b")}.items():
        table = {column: [{"bytes": _png(random), "path": None} for _ in range(rows)] for column in columns}
        features = datasets.Features({"index": datasets.Value("int64"), **dict.fromkeys(columns, datasets.Image())})
        path = folder / "data" / kind / f"{kind}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict({"index": list(range(rows)), **table}, features=features).to_parquet(path)
    _write_card(folder, "parquet")
    _write_manifest(folder, rows, shards=1)
    return folder


def _png(random: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _write_card(folder: Path, suffix: str) -> None:
    configs = "".join(
        f"- config_name: {kind}\n  data_files:\n  - split: train\n    path: data/{kind}/*.{suffix}\n" for kind in KINDS
    )
    (folder / "README.md").write_text(f"---\nlicense: cc0-1.0\nconfigs:\n{configs}---\n# A sample\n", encoding="utf-8")


def _write_manifest(folder: Path, rows: int, shards: int) -> None:
    records = []
    for number, path in enumerate(sorted(folder.glob("data/*/*"))):
        content = path.read_bytes()
        records.append(
            {
                "path": path.relative_to(folder).as_posix(),
                "kind": path.parent.name,
                "first_row": number % shards * (rows // shards),
                "rows": rows // shards,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    file_format = "parquet" if records[0]["path"].endswith("parquet") else "webdataset"
    settings = {"format": file_format, "image_format": "png", "quality": 95, "seed": 0, "license": None}
    model = {"class": "Model", "sha256": {}}
    source = {"data": "digits", "images": 10, "image_size": 8, "channels": 1}
    parts: dict[str, object] = {
        "settings": {**settings, "memorisation_quantile": 0.05},
        "run": {"encoder": model, "generator": model, "source": source, "temperature": 0.2},
        "criteria": {kind: _criteria(kind) for kind in KINDS},
        "made_with": {"command": "recipes/emit.py", "versions": {}},
        "shards": records,
    }
    kinds = {kind: _summary(kind, rows) for kind in KINDS}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, **parts, "kinds": kinds}), encoding="utf-8")


def _columns(kind: str) -> tuple[str, ...]:
    return {"hard": "hardness", "pairs": "similarity"}[kind], "realism", "nearest_similarity"


def _criteria(kind: str) -> dict[str, object]:
    edges = {column: [0.0, 1.0] for column in _columns(kind)}
    bounds = {"band": [0.0, 1.0], "realism_floor": 0.0, "copy_distance": 0.0}
    return {"kind": kind, "seed": 0, "oversample": 1, **bounds, "edges": edges}


def _summary(kind: str, rows: int) -> dict[str, object]:
    column = {"mean": 0.5, "min": 0.0, "max": 1.0, "histogram": [rows], "edges": [0.0, 1.0]}
    counts = {"rows": rows, "bytes": 0, "candidates": rows, "dropped": {"memorised": 0}}
    return {**counts, "columns": dict.fromkeys((*_columns(kind), "candidates"), column)}
