"""Constructed negatives in: which other training images each training image is to be told from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from synthdata.data.dataset_files import MANIFEST, DatasetFiles
from synthdata.data.identity import image_identity
from synthdata.data.images import Images
from synthdata.data.shards import read_samples
from synthdata.errors import FailureError, MisuseError
from synthdata.manifests import load_manifest
from synthdata.reading import parse_json

KIND = "relations"


@dataclass(frozen=True)
class Negatives:
    """The negatives of each image, in places of the training split.

    Attributes:
        places: (N, K) int64; an image's own place where it has fewer than K.
        weights: (N, K) how much each counts; 0 where there is none.
        suspected: (N, K) bool, which may be positives.
    """

    places: Tensor
    weights: Tensor
    suspected: Tensor

    def draw(self, anchors: Tensor, keys: Tensor, count: int) -> "Negatives":
        """``count`` negatives of each of ``anchors`` (B,), present ones first, by the largest of ``keys`` (B, K)."""
        weights = self.weights[anchors]
        chosen = torch.where(weights > 0, keys, keys - 1).topk(count, dim=1).indices
        taken = (tensor[anchors].gather(1, chosen) for tensor in (self.places, self.weights, self.suspected))
        return Negatives(*taken)


def load_negatives(source: str, images: Images) -> Negatives:
    """The negatives that a constructed dataset tells of ``images``.

    Args:
        source: a dataset directory, or a repository of the Hub, as for emitted datasets.
        images: a training split. Rows of its source that it does not hold are left out.

    Raises:
        MisuseError: the dataset has no negatives, or tells of another source.
        FailureError: it is damaged, or the Hub does not answer.
    """
    files = DatasetFiles.of(source)
    _check_source(source, _manifest(files, source), images)
    place = {int(row): number for number, row in enumerate(images.source_indices)}
    found: list[list[tuple[int, float, bool]]] = [[] for _ in range(len(images))]
    for relation in read_relations(files):
        anchor, other = place.get(relation["anchor"]), place.get((relation["other"] or [-1])[0])
        if relation["kind"] == "negative" and anchor is not None and other is not None:
            found[anchor].append((other, relation["weight"], relation["suspected_fact"]))
    most = max(map(len, found))
    if most == 0:
        raise MisuseError(
            f"{source} has no negatives of these images: construct hard_negatives of the data that is trained on"
        )
    empty = [[(number, 0.0, False)] * (most - len(negatives)) for number, negatives in enumerate(found)]
    rows = [negatives + rest for negatives, rest in zip(found, empty, strict=True)]
    columns = [torch.tensor([[negative[i] for negative in row] for row in rows]) for i in range(3)]
    return Negatives(columns[0], columns[1].float(), columns[2])


def read_relations(files: DatasetFiles) -> Iterator[dict[str, Any]]:
    """The relations of a constructed dataset, in order, shard by shard.

    Raises:
        FailureError: a shard cannot be read.
    """
    for shard in files.shards():
        if shard.kind == KIND:
            path = files.fetch(shard.path)
            yield from _parquet_rows(path) if path.suffix == ".parquet" else _tar_rows(path)


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        names = [name for name in pq.ParquetFile(path).schema_arrow.names if not name.startswith("image")]
        for batch in pq.ParquetFile(path).iter_batches(columns=names):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise FailureError(f"shard {path} cannot be read as Parquet ({error}): fetch or construct it again") from error


def _tar_rows(path: Path) -> Iterator[dict[str, Any]]:
    content = path.read_bytes()
    for sample in read_samples(0, str(path)):
        place = sample.members["json"]
        yield parse_json(content[place.offset : place.offset + place.size])


def _manifest(files: DatasetFiles, source: str) -> dict[str, Any]:
    files.shards()  # says what is wrong with a manifest that is missing or damaged
    return load_manifest(files.fetch(MANIFEST), source, files.fetch)


def _check_source(source: str, manifest: dict[str, Any], images: Images) -> None:
    if "construction" not in manifest:
        raise MisuseError(f"{source} is no constructed dataset: name one that `synthdata construct` made")
    told = manifest["run"]["source"]
    own = image_identity(images.source)
    if (told["rows"], told.get("images_sha256", told["sha256"])) != (own["rows"], own["sha256"]):
        raise MisuseError(
            f"{source} tells of the {told['rows']:,} rows of {manifest['construction']['source']['data']}, which are "
            f"not the {own['rows']:,} images that are trained on: give that --data.source, or construct anew"
        )
