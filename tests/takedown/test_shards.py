"""A dataset made again without the images."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from synthdata.cli import main
from synthdata.emission import read_manifest, verify_dataset
from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.emission.forgotten import Forgotten
from synthdata.emission.kinds import Kind
from synthdata.emission.run import load_run
from synthdata.errors import FailureError, MisuseError
from synthdata.models import GAN, load_generator
from synthdata.publishing.absence import look_for
from synthdata.publishing.complete import complete_dataset
from synthdata.stores import open_store
from synthdata.takedown.old_rows import OldRow, OldRows
from synthdata.takedown.shards import ShardsRequest, take_down_shards

KINDS: tuple[Kind, ...] = ("hard", "pairs")
ROWS = {"hard": 30, "pairs": 20}


def rows_of(folder: Path) -> dict[str, list[OldRow]]:
    manifest, store = read_manifest(folder), open_store(folder)
    return {kind: [OldRows(store, manifest, kind)[row] for row in range(ROWS[kind])] for kind in KINDS}


def emitted(run: Path, output: Path, **changes: object) -> Path:
    settings = {"hard": ROWS["hard"], "pairs": ROWS["pairs"], "shard_size": 8, "oversample": 1, **changes}
    emit(EmissionConfig(run=str(run), output=str(output), **settings))  # type: ignore[arg-type]
    complete_dataset(output, page=False)
    return output


def superseded(old: Path, run: Path, output: Path, scope: str = "near") -> Path:
    take_down_shards(old, ShardsRequest(str(run), str(output), scope))  # type: ignore[arg-type]
    complete_dataset(output, page=False)
    return output


def lively(run: Path, folder: Path, seed: int) -> Path:
    """A copy of a run of which hardly trained members make images that differ."""
    shutil.copytree(run, folder)
    generator = load_generator(folder / "generator")
    assert isinstance(generator, GAN)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in generator.averages.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=random)
    shutil.rmtree(folder / "generator")
    generator.save_pretrained(folder / "generator")
    return folder


@pytest.fixture(scope="module", autouse=True)
def few_references() -> Iterator[None]:
    """What is measured beside the rows takes many times more images than these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthdata.emission.criteria.REFERENCE_ROWS", 64)
        patch.setattr("synthdata.emission.emit.measure_fidelity", lambda *arguments: None)
        yield


@pytest.fixture(scope="module")
def before_run(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lively(run_folder, tmp_path_factory.mktemp("runs") / "before", 0)


@pytest.fixture(scope="module")
def narrow(taken_down: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the takedown, whose untrained encoder finds all images alike, with a guard that goes by hashes."""
    folder = lively(taken_down, tmp_path_factory.mktemp("runs") / "narrow", 1)
    path = folder / "forgotten.safetensors"
    known = Forgotten.load(path)
    Forgotten(known.embeddings, known.hashes, 1.1, 25).save(path)
    return folder


@pytest.fixture(scope="module")
def old(before_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emitted(before_run, tmp_path_factory.mktemp("datasets") / "old")


@pytest.fixture(scope="module")
def near(old: Path, narrow: Path) -> Path:
    return superseded(old, narrow, old.parent / "near")


@pytest.fixture(scope="module")
def all_anew(old: Path, narrow: Path) -> Path:
    return superseded(old, narrow, old.parent / "all", "all")


def test_rows_are_kept_byte_for_byte_or_those_of_the_new_run(old: Path, near: Path, all_anew: Path) -> None:
    before, after, anew = rows_of(old), rows_of(near), rows_of(all_anew)
    told = read_manifest(near)["takedown"]["rows"]
    for kind in KINDS:
        changed = [place for place, row in enumerate(after[kind]) if row != before[kind][place]]
        assert all(after[kind][place] == anew[kind][place] for place in changed)
        assert len(changed) == told[kind]["changed"]
        assert told[kind]["kept"] == ROWS[kind] - len(changed)
    assert 0 < sum(rows["changed"] for rows in told.values()) < 50
    assert verify_dataset(near) == verify_dataset(all_anew) == []


def test_the_new_dataset_has_the_plan_of_the_old_one(old: Path, near: Path) -> None:
    before, after = read_manifest(old), read_manifest(near)
    assert after["settings"] == before["settings"]
    assert [shard["path"] for shard in after["shards"]] == [shard["path"] for shard in before["shards"]]
    assert after["takedown"]["supersedes"] == hashlib.sha256((old / "manifest.json").read_bytes()).hexdigest()
    assert after["made_with"]["command"].startswith("synthdata takedown old --run ")


def test_no_row_is_near_what_was_taken_down(near: Path, all_anew: Path, narrow: Path) -> None:
    taken = set(load_run(narrow, torch.device("cpu")).taken_down)
    for folder in (near, all_anew):
        assert not taken & {row.metadata["nearest_real"] for rows in rows_of(folder).values() for row in rows}


def test_neither_manifest_nor_card_names_the_images(near: Path, narrow: Path) -> None:
    manifest = read_manifest(near)
    assert "exclude" not in json.dumps({name: part for name, part in manifest.items() if name != "kinds"})
    card = (near / "README.md").read_text()
    assert "## Taken down" in card
    assert "4 training images were taken out" in card
    assert "The images left encoder and generator by further training" in card


def test_the_card_tells_a_generator_that_was_trained_anew_from_one_that_was_tuned(near: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(near, tmp_path / "near"))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["takedown"]["generator"] == "tune"
    manifest["takedown"]["generator"] = "retrain"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "README.md").unlink()
    complete_dataset(folder, page=False)
    card = (folder / "README.md").read_text()
    assert "The images left the encoder by further training" in card
    assert "The generator was trained anew without them." in card


def test_what_is_there_is_kept_and_what_is_missing_comes_out_as_it_was(
    old: Path, near: Path, narrow: Path, tmp_path: Path
) -> None:
    again = Path(shutil.copytree(near, tmp_path / "near"))
    shard = next(iter((again / "data" / "hard").iterdir()))
    shard.unlink()
    emission = take_down_shards(old, ShardsRequest(str(narrow), str(again)))
    assert (emission.rows, emission.kept) == (8, 42)
    assert verify_dataset(again) == []


def test_parquet_is_read_and_written_alike(before_run: Path, narrow: Path, near: Path, tmp_path: Path) -> None:
    old = emitted(before_run, tmp_path / "old", format="parquet")
    new = superseded(old, narrow, tmp_path / "new")
    tar, parquet = rows_of(near), rows_of(new)
    assert parquet == tar


def test_a_dataset_in_a_store_is_superseded_by_one_in_a_store(old: Path, near: Path, narrow: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(old), "/taken/old", recursive=True)
    request = ShardsRequest(str(narrow), "memory://taken/new", "near")
    take_down_shards("memory://taken/old", request)
    complete_dataset("memory://taken/new", page=False)
    new, expected = read_manifest("memory://taken/new"), read_manifest(near)
    assert (new["shards"], new["takedown"]) == (expected["shards"], expected["takedown"])
    assert verify_dataset("memory://taken/new", deep=True) == []
    assert b"## Taken down" in memory.cat("/taken/new/README.md")


def test_the_verb_tells_what_changed_and_verify_that_the_old_shards_are_gone(
    old: Path, near: Path, narrow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Path(shutil.copytree(near, tmp_path / "near"))
    with pytest.raises(SystemExit, match="0"):
        main(["takedown", str(old), "--run", str(narrow), "--output", str(output), "--page", "false"])
    assert "rows made anew" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["verify", str(output), "--absent", str(old / "manifest.json")])
    assert "has none of the 7 old shards" in capsys.readouterr().out
    kept = {shard["sha256"] for shard in read_manifest(output)["shards"]}
    stale = [shard for shard in read_manifest(old)["shards"] if shard["sha256"] not in kept]
    shutil.copy(old / stale[0]["path"], output / "left-over.tar")
    with pytest.raises(SystemExit, match="1"):
        main(["verify", str(output), "--absent", str(old / "manifest.json")])
    assert "left-over.tar: a shard of the dataset that was taken down" in capsys.readouterr().out


def test_what_cannot_be_made_again_is_told(
    old: Path, near: Path, run_folder: Path, narrow: Path, tmp_path: Path
) -> None:
    request = ShardsRequest(str(narrow), str(tmp_path / "new"))
    with pytest.raises(MisuseError, match=r"no finished run of recipes/takedown\.py"):
        take_down_shards(old, ShardsRequest(str(run_folder), str(tmp_path / "new")))
    with pytest.raises(MisuseError, match="the dataset before"):
        take_down_shards(old, ShardsRequest(str(narrow), str(old)))
    with pytest.raises(MisuseError, match="emitted from another run"):
        take_down_shards(near, request)
    with pytest.raises(MisuseError, match="does not supersede"):
        look_for(str(near), near / "manifest.json")
    damaged = Path(shutil.copytree(old, tmp_path / "damaged"))
    next(iter((damaged / "data" / "pairs").iterdir())).write_bytes(b"")
    with pytest.raises(FailureError, match="is not sound"):
        take_down_shards(damaged, request)
    assert not (tmp_path / "new").exists()
