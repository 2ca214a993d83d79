"""Reading what was emitted, without the code that wrote it."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from synthdata.emission import read_manifest

FINISHED = ["README.md", "assets", "croissant.json", "data", "manifest.json"]
"""The names in a finished dataset, without a page."""


def rows_of(folder: Path, kind: str) -> Iterator[tuple[dict[str, Any], list[Tensor]]]:
    """Metadata and images (1, 16, 16) of every row, in order."""
    for shard in read_manifest(folder)["shards"]:
        if shard["kind"] != kind:
            continue
        images: list[Tensor] = []
        with tarfile.open(folder / shard["path"]) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                if member.name.endswith(".json"):
                    yield json.load(content), images
                    images = []
                else:
                    images.append(torch.from_numpy(np.array(Image.open(io.BytesIO(content.read()))))[None])


def digests(folder: Path) -> dict[str, str]:
    return {shard["path"]: shard["sha256"] for shard in read_manifest(folder)["shards"]}
