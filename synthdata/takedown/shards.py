"""A dataset made again without what may have come from images that were taken down."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Features
from torch import Tensor
from tqdm import tqdm

from synthdata.data import to_float
from synthdata.data.decode import PixelFormat, decode_exact
from synthdata.emission import read_manifest, verify_dataset
from synthdata.emission.compute import ModelThreads
from synthdata.emission.config import EmissionConfig
from synthdata.emission.criteria import Criteria
from synthdata.emission.dataset import Emission, check_output, write_dataset
from synthdata.emission.emit import Samples, compute_device, compute_threads, deterministic
from synthdata.emission.forgotten import FILE
from synthdata.emission.kinds import KINDS, Kind, Row
from synthdata.emission.manifest import MANIFEST, manifest_digest
from synthdata.emission.plan import Shard
from synthdata.emission.run import Run, load_run
from synthdata.emission.selection import blocks_of, selected_blocks
from synthdata.errors import FailureError, MisuseError
from synthdata.reading import checked
from synthdata.run_files import read_run
from synthdata.stores import Location, Store, open_store
from synthdata.takedown.old_rows import OldRows
from synthdata.threads import use_idle_cores

PROGRAM = "synthdata takedown"
Scope = Literal["near", "all"]
_BATCH = 64
_ORIGINS = ("nearest_real", "anchor")
"""Columns that name real images which a row may have come from."""


@dataclass(frozen=True)
class ShardsRequest:
    """What a dataset is made again with.

    Attributes:
        run: run directory of a takedown.
        output: dataset directory to write or to complete.
        scope: which rows are made anew: those that may have come from the images, or all.
    """

    run: str
    output: str
    scope: Scope = "near"


def take_down_shards(location: Location, request: ShardsRequest) -> Emission:
    """Make the dataset at ``location`` again, without card and page; the same call goes on where it was interrupted.

    Raises:
        MisuseError: the run is of no takedown, or the dataset is not of the run before; and as ``emit``.
        FailureError: a shard of the old dataset is damaged; and as ``emit``.
    """
    run_folder, store, output = Path(request.run), open_store(location), open_store(request.output)
    if output.place == store.place:
        raise MisuseError(f"{store} is the dataset before, which stays as it is: name another --output")
    report, manifest = read_run(run_folder).report, read_manifest(store)
    if "takedown" not in report or not (run_folder / FILE).is_file():
        raise MisuseError(f"{run_folder} is no finished run of recipes/takedown.py: name one of those as --run")
    _check_before(store, manifest, run_folder, report)
    if problems := verify_dataset(store, deep=True):
        raise FailureError(f"{store} is not sound ({problems[0]}): restore it; `synthdata verify` lists all problems")
    settings = checked({**manifest["settings"], "run": request.run, "output": request.output}, EmissionConfig)
    check_output(output)
    device = compute_device()
    use_idle_cores(device.type)
    run = load_run(run_folder, device)
    rows: dict[Kind, int] = {kind: manifest["kinds"][kind]["rows"] for kind in manifest["kinds"]}
    with deterministic(), ModelThreads(run, device, compute_threads(settings, device)) as models:
        supersedes = manifest_digest(store.fetch(MANIFEST))
        old = {kind: OldRows(store, manifest, kind) for kind in rows}
        ways = {part: way for part in ("method", "generator") if (way := report["takedown"].get(part))}
        maker = _SupersedingRows(Samples(settings, models), old, supersedes, request.scope, ways)
        return write_dataset(maker, settings, rows, f"{PROGRAM} {store.title}", request)


def _check_before(store: Store, manifest: dict[str, Any], run: Path, report: dict[str, Any]) -> None:
    """Raise ``MisuseError`` unless the dataset in ``store`` was emitted from the run that ``run`` supersedes."""
    if other := set(manifest["kinds"]) - {"hard", "pairs"}:
        raise MisuseError(f"{store} has rows of the kind {min(other)}: take down hard samples and pairs")
    if manifest["run"]["encoder"]["sha256"] != report["takedown"]["before"]["encoder"]:
        raise MisuseError(f"{store} was emitted from another run than the one that {run} supersedes: name its own")


@dataclass
class _Changed:
    """Rows of a kind that are made anew, by the reason."""

    nearest: set[int] = field(default_factory=set)
    near_copies: set[int] = field(default_factory=set)


class _SupersedingRows:
    """The ``RowMaker`` of the new dataset: rows of the old one, and rows of the new run in the place of some.

    A row that is made anew is the one that the new run makes of its index, whatever else is made anew. Of one that
    stays, the only candidate that is known is the one that was kept.
    """

    def __init__(
        self, samples: Samples, old: dict[Kind, OldRows], supersedes: str, scope: Scope, ways: dict[str, str]
    ) -> None:
        self._samples, self._old = samples, old
        self._supersedes, self._scope, self._ways = supersedes, scope, ways
        self._models = samples.models
        self.device = samples.device

    @property
    def identity(self) -> dict[str, Any]:
        return {**self._samples.identity, "supersedes": self._supersedes, "scope": self._scope}

    def measure(self) -> dict[str, Any]:
        forgotten = self._models.run.forgotten
        assert forgotten is not None
        rows = {}
        for kind, old in self._old.items():
            changed, found = self._to_change(kind), self._changed[kind]
            rows[kind] = {
                "kept": len(old) - len(changed),
                "changed": len(changed),
                "nearest": len(found.nearest),
                "near_copies": len(found.near_copies),
            }
        return self._samples.measure() | {
            "takedown": {
                "supersedes": self._supersedes,
                "scope": self._scope,
                **self._ways,
                "images": len(forgotten.embeddings),
                "rows": rows,
            }
        }

    def prepare(self) -> None:
        self._samples.prepare()
        _ = self._changed

    def features(self, kind: Kind) -> Features:
        return self._samples.features(kind)

    def make(self, kind: Kind, criteria: dict[str, Any], shards: Sequence[Shard]) -> Iterator[list[Row]]:
        changed, blocks = self._to_change(kind), blocks_of(shards)
        needed = [block for block in blocks if not changed.isdisjoint(block)]
        made = selected_blocks(self._models, self._samples.real, checked(criteria, Criteria), needed)
        for block in blocks:
            new = {row.index: row for row in next(made)} if not changed.isdisjoint(block) else {}
            yield [new[index] if index in changed else self._kept(kind, index) for index in block]

    def _to_change(self, kind: Kind) -> set[int]:
        if self._scope == "all":
            return set(range(len(self._old[kind])))
        found = self._changed[kind]
        return found.nearest | found.near_copies

    def _kept(self, kind: Kind, index: int) -> Row:
        old = self._old[kind][index]
        score = old.metadata[KINDS[kind].score]
        return Row(kind, index, old.images, old.metadata, candidate_scores=[score])

    @cached_property
    def _changed(self) -> dict[Kind, _Changed]:
        """Rows that may have come from the images: these are nearest to them, or they are near copies."""
        taken = set(self._models.run.taken_down)
        found = {kind: _Changed() for kind in self._old}
        with tqdm(total=sum(map(len, self._old.values())), unit="row", desc="looking for the images") as progress:
            for kind, old in self._old.items():
                for index, near in enumerate(self._models.map(_near_copies, self._batches(old, progress))):
                    first = index * _BATCH
                    found[kind].near_copies.update(first + place for place in near.nonzero()[:, 0].tolist())
                came_from = ({old[row].metadata.get(name) for name in _ORIGINS} for row in range(len(old)))
                found[kind].nearest = {row for row, images in enumerate(came_from) if not taken.isdisjoint(images)}
        return found

    def _batches(self, old: OldRows, progress: tqdm) -> Iterator[Tensor]:
        """Images (B, members, C, H, W) uint8 of consecutive rows."""
        images = self._models.run.images
        form = PixelFormat(images.channels, images.image_size)
        for start in range(0, len(old), _BATCH):
            rows = [old[row] for row in range(start, min(start + _BATCH, len(old)))]
            decoded = [[torch.tensor(decode_exact(image, form)) for image in row.images] for row in rows]
            yield torch.stack([torch.stack(members) for members in decoded]).to(self._models.device)
            progress.update(len(rows))


def _near_copies(run: Run, images: Tensor) -> Tensor:
    """(B,) bool: rows any of whose images (B, members, C, H, W) is a near copy of one that was taken down."""
    assert run.forgotten is not None
    flat = images.flatten(0, 1)
    near = run.forgotten.near(run.encoder(to_float(flat)).float(), flat)
    return near.unflatten(0, images.shape[:2]).any(1).cpu()
