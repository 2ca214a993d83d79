"""An emission that is cut off, wherever, is completed by the same command."""

import json
import multiprocessing
import resource
import shutil
import signal
import subprocess
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest

from synthdata.emission import finish_dataset, read_manifest, verify_dataset
from synthdata.emission.config import EmissionConfig
from synthdata.emission.manifest import begin, read_plan
from synthdata.errors import FailureError, MisuseError

from .conftest import PROCESSES, Emit, emit_as_the_recipe
from .reading import FINISHED, digests


def _emit(run_folder: Path, output: Path, started: "Event | None" = None) -> None:
    if started is not None:
        started.set()
    emit_as_the_recipe(EmissionConfig(run=str(run_folder), output=str(output), hard=30, pairs=20, shard_size=8))


def _emit_with_small_files(run_folder: Path, output: Path, errors: "multiprocessing.Queue[str]") -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, 16_000))
    try:
        _emit(run_folder, output)
    except FailureError as error:
        errors.put(str(error))


def test_killed_at_any_moment_and_repeated_it_gives_the_same_shards(dataset: Path, run_folder: Path, tmp_path: Path):
    output = tmp_path / "out"
    random = np.random.default_rng()
    for _ in range(3):
        started = PROCESSES.Event()
        process = PROCESSES.Process(target=_emit, args=(run_folder, output, started))
        process.start()
        started.wait()
        process.join(random.uniform(0, 2))
        process.kill()
        process.join()
        for shard in output.rglob("*.tar"):  # whatever has its final name is complete
            assert shard.read_bytes() == (dataset / shard.relative_to(output)).read_bytes()
    _emit(run_folder, output)
    assert digests(output) == digests(dataset)
    assert sorted(path.name for path in output.iterdir()) == FINISHED


@pytest.mark.parametrize("left", [["plan.json", "hard-00000-of-00004.tar.json"], ["plan.json"], []])
@pytest.mark.parametrize("card", [True, False])
def test_cut_off_while_finishing_it_is_finished_by_the_next_run(
    emit_to: Emit, dataset: Path, tmp_path: Path, left: list[str], card: bool
):
    output = Path(shutil.copytree(dataset, tmp_path / "out"))
    (output / ".emission").mkdir()
    for name in left:
        (output / ".emission" / name).write_text(json.dumps(read_plan(dataset)))
    if not card:
        (output / "README.md").unlink()
    emit_to(output)
    assert sorted(path.name for path in output.iterdir()) == FINISHED
    assert verify_dataset(output) == []


def test_a_process_that_begins_when_others_have_finished_finds_their_plan(dataset: Path, tmp_path: Path):
    output = Path(shutil.copytree(dataset, tmp_path / "out"))
    plan = read_plan(output)
    assert plan is not None
    assert begin(output, {"settings": "of the late process", "shards": []}) == plan
    assert not (output / ".emission").exists()


def test_finished_shards_are_kept(emit_to: Emit, dataset: Path, tmp_path: Path):
    output = tmp_path / "out"
    emit_to(output, worker=0, workers=2)
    made = {path: path.stat().st_mtime_ns for path in output.rglob("*.tar")}
    finished = emit_to(output)
    assert 0 < finished.kept < 50
    assert finished.rows == 50 - finished.kept
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert digests(output) == digests(dataset)


def test_a_finished_shard_that_was_altered_is_made_again(emit_to: Emit, dataset: Path, tmp_path: Path):
    output = tmp_path / "out"
    emit_to(output, worker=0, workers=2)
    altered = next(output.rglob("*.tar"))
    altered.write_bytes(altered.read_bytes()[:-1] + b"x")
    emit_to(output)
    assert digests(output) == digests(dataset)
    assert verify_dataset(output) == []


def test_repeating_a_finished_emission_changes_nothing(emit_to: Emit, dataset: Path, tmp_path: Path):
    output = Path(shutil.copytree(dataset, tmp_path / "out"))
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    again = emit_to(output)
    assert (again.rows, again.kept) == (0, 50)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_a_shard_lost_from_a_finished_dataset_is_restored(emit_to: Emit, dataset: Path, tmp_path: Path):
    output = Path(shutil.copytree(dataset, tmp_path / "out"))
    (output / "data/pairs/pairs-00001-of-00003.tar").unlink()
    assert emit_to(output).rows == 8
    assert verify_dataset(output) == []
    assert sorted(path.name for path in output.iterdir()) == FINISHED


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 1}, "--seed 0, not 1"), ({"hard": 31}, "--hard 30"), ({"format": "parquet"}, "--format")],
)
def test_going_on_with_other_settings_is_refused(
    emit_to: Emit, dataset: Path, tmp_path: Path, changes: dict[str, object], named: str
):
    finished = Path(shutil.copytree(dataset, tmp_path / "finished"))
    emit_to(tmp_path / "begun", worker=0, workers=2)
    for output in (finished, tmp_path / "begun"):
        with pytest.raises(MisuseError, match=named):
            emit_to(output, **changes)
    assert verify_dataset(finished) == []


def test_going_on_with_other_weights_is_refused(run_folder: Path, dataset: Path, tmp_path: Path):
    other = Path(shutil.copytree(run_folder, tmp_path / "other"))
    weights = other / "generator/generator/diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1
    weights.write_bytes(content)
    output = Path(shutil.copytree(dataset, tmp_path / "out"))
    with pytest.raises(MisuseError, match=r"begun for another run \(generator sha256"):
        _emit(other, output)


def test_finishing_too_early_names_what_is_missing(emit_to: Emit, tmp_path: Path):
    emit_to(tmp_path / "out", worker=0, workers=2)
    with pytest.raises(FailureError, match=r"shards of .* are not made yet"):
        finish_dataset(tmp_path / "out")
    with pytest.raises(MisuseError, match="not finished"):
        read_manifest(tmp_path / "out")


def test_finishing_writes_the_manifest_of_what_the_workers_made(emit_to: Emit, dataset: Path, tmp_path: Path):
    output = tmp_path / "out"
    assert emit_to(output, worker=0, workers=2).manifest is None
    emit_to(output, worker=1, workers=2)
    expected = (output / "manifest.json").read_bytes()
    assert finish_dataset(output) == read_manifest(output)
    assert (output / "manifest.json").read_bytes() == expected
    assert read_manifest(output)["kinds"] == read_manifest(dataset)["kinds"]


def test_a_file_that_cannot_grow_ends_in_one_line_and_is_resumed(run_folder: Path, dataset: Path, tmp_path: Path):
    output, errors = tmp_path / "out", PROCESSES.Queue()
    process = PROCESSES.Process(target=_emit_with_small_files, args=(run_folder, output, errors))
    process.start()
    message = errors.get(timeout=120)
    process.join()
    assert message.startswith(f"no room to write {output}")
    assert not list(output.rglob("*.tar"))
    assert not list(output.rglob("*.part"))
    _emit(run_folder, output)
    assert digests(output) == digests(dataset)


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 128 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here: the full disk was NOT tested")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("file_format", ["webdataset", "parquet"])
def test_a_full_disk_ends_in_one_line_and_is_resumed_after_making_room(
    emit_to: Emit, dataset: Path, small_disk: Path, file_format: str
):
    settings = {"format": file_format, "shard_size": 5}
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(40_000))
    with pytest.raises(FailureError, match="no room to write"):
        emit_to(small_disk / "out", **settings)
    kept = [path for path in (small_disk / "out" / "data").rglob("*") if path.is_file()]
    assert kept
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    finished = emit_to(small_disk / "out", **settings)
    assert finished.kept == 5 * len(kept)
    assert verify_dataset(small_disk / "out") == []


def test_a_second_emission_at_the_same_time_is_told_of_the_first(emit_to: Emit, run_folder: Path, tmp_path: Path):
    output = tmp_path / "out"
    process = PROCESSES.Process(target=_emit, args=(run_folder, output))
    process.start()
    while not list(output.glob(".emission/0-of-1.claim")) and process.is_alive():
        time.sleep(0.005)
    process_told = rf"another process is at work on {output} \((process {process.pid} on .+|just begun)\)"
    for settings in ({}, {"worker": 1, "workers": 2}):
        with pytest.raises(MisuseError, match=process_told):
            emit_to(output, **settings)
    process.join()
    assert verify_dataset(output) == []
    assert sorted(path.name for path in output.iterdir()) == FINISHED
