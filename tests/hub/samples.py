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
    for path in sorted(folder.glob("data/*/*")):
        content = path.read_bytes()
        records.append(
            {
                "path": path.relative_to(folder).as_posix(),
                "kind": path.parent.name,
                "rows": rows // shards,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    parts: dict[str, object] = {"settings": {}, "run": {}, "criteria": {}, "made_with": {}, "shards": records}
    manifest = {"manifest_version": 1, **parts, "kinds": {kind: {"rows": rows} for kind in KINDS}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
