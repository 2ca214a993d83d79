"""Whole runs in this process, and on two."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from diffusers import DiffusionPipeline
from PIL import Image
from processes import run_on_two_nodes
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from tiny import tiny_config, tiny_flags

from synthdata.emission import verify_dataset
from synthdata.errors import FailureError, MisuseError, SynthdataError
from synthdata.models import Encoder, load_generator
from synthdata.training import train_joint

TOLERANCE = 1e-4
"""How far two processes may be from one: float32 sums over a batch depend on their order. Measured: 5e-7."""


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A tiny run of all parts, and its report."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, train_joint(tiny_config(folder, evaluation__labels=[10]))


def test_a_run_leaves_a_complete_directory(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, report = finished
    assert json.loads((folder / "report.json").read_text()) == report
    assert report["arm"] == "both"
    assert (report["seed"], report["steps"], report["images_seen"]) == (0, 6, 96)
    scores = {"linear_top1", "knn_top1", "linear_10_labels_top1", "frechet_distance"}
    assert report.keys() >= scores | {"wall_seconds", "images_per_second", "versions", "device"}
    encoder, generator = Encoder.from_pretrained(folder / "encoder"), load_generator(folder / "generator")
    assert (encoder.image_size, generator.image_size, generator.channels) == (16, 16, 1)
    DiffusionPipeline.from_pretrained(folder / "generator")
    assert not [path for path in folder.rglob("*") if path.suffix in (".pt", ".pkl", ".bin") or ".partial" in path.name]
    for pictures in ("samples", "curves"):
        for path in (folder / pictures).iterdir():
            assert Image.open(path).size[0] > 200
    assert {path.name for path in (folder / "curves").iterdir()} == {"loss.png", "hardness.png", "similarity.png"}
    assert [path.name for path in sorted((folder / "samples").iterdir())][-1] == "step-000006.png"


def test_metrics_have_a_line_for_every_logged_step(finished: tuple[Path, dict[str, Any]]) -> None:
    lines = metrics(finished[0])
    assert [line["iteration"] for line in lines] == list(range(10))
    assert [line["phase"] for line in lines] == ["pre-training"] * 4 + ["warm-up"] + ["joint"] * 5
    assert [line["images"] for line in lines] == [0] * 4 + [16 * step for step in range(1, 7)]
    assert {"contrastive", "hardness", "similarity", "similarity_target", "realism_a"} <= lines[-2].keys() | lines[
        -1
    ].keys()


def test_the_configuration_of_a_run_is_enough_to_run_it_again(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    saved = yaml.safe_load((finished[0] / "config.yaml").read_text())
    assert (saved["train"]["steps"], saved["data"]["image_size"], saved["views"]["hue"]) == (6, 16, 0.1)
    assert "output_dir" not in saved


def test_an_existing_run_is_not_overwritten(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    before = files_of(folder)
    with pytest.raises(MisuseError, match="holds a run: add --resume true"):
        train_joint(tiny_config(folder, evaluation__labels=[10]))
    assert files_of(folder) == before


def test_resuming_with_another_configuration_names_the_difference(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    before = files_of(folder)
    with pytest.raises(MisuseError, match=r"train\.steps 6, not 7: resume with the same configuration"):
        train_joint(tiny_config(folder, evaluation__labels=[10], resume="true", train__steps=7))
    assert files_of(folder) == before


def test_resuming_a_finished_run_gives_its_report(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, report = finished
    before = files_of(folder)
    assert train_joint(tiny_config(folder, evaluation__labels=[10], resume="true")) == report
    assert files_of(folder) == before


def test_a_run_counts_its_iterations_and_their_time_by_phase(finished: tuple[Path, dict[str, Any]]) -> None:
    progress = json.loads((finished[0] / "progress.json").read_text())
    assert (progress["iteration"], progress["iterations"]) == (10, 10)
    phases = {name: phase["iterations"] for name, phase in progress["phases"].items()}
    assert phases == {"pre-training": 4, "warm-up": 1, "joint": 5}
    assert 0 < sum(phase["seconds"] for phase in progress["phases"].values()) <= finished[1]["wall_seconds"] + 1
    (part,) = progress["parts"]
    assert (part["from"], part["to"]) == (0, 10)
    assert part["began"] <= part["ended"]


def test_a_run_can_be_looked_at_after_every_quarter_of_it_and_whatever_becomes_of_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def look(run: Path) -> None:
        seen.append(json.loads((run / "progress.json").read_text())["iteration"])
        raise FailureError("there is no room for the page")

    report = train_joint(tiny_config(tmp_path / "run", evaluation__generated=10), refresh=look)
    assert report["steps"] == 6
    assert seen == [2, 5, 8]
    assert capsys.readouterr().err.count("warning: there is no room for the page") == 3


@pytest.mark.parametrize("arm", ["real", "both"])
def test_a_loss_that_diverges_ends_the_run_and_spoils_no_checkpoint(tmp_path: Path, arm: str) -> None:
    rates = {"train__learning_rate": 1e30, "train__warmup": 0.0, "train__optimizer": "sgd"}
    config = tiny_config(tmp_path / "run", arm=arm, checkpoint__every=1, checkpoint__keep=99, train__steps=30, **rates)
    with pytest.raises(FailureError, match=r"contrastive|encoder") as caught:
        train_joint(config)
    assert "at iteration" in str(caught.value)
    checkpoints = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))
    assert str(checkpoints[-1] if checkpoints else "none yet") in str(caught.value)
    for checkpoint in checkpoints:
        tensors = load_file(checkpoint / "tensors.safetensors").values()
        assert all(tensor.isfinite().all() for tensor in tensors)
    assert not (tmp_path / "run" / "encoder").exists()


def test_weights_that_diverge_behind_a_finite_loss_are_not_saved(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", arm="real", checkpoint__every=1, train__warmup=0.0)
    config.train.learning_rate = 1e39  # beyond what float32 holds
    with pytest.raises(FailureError, match=r"encoder/\S+ became infinite or NaN at iteration 0; .*none yet"):
        train_joint(config)
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data__source": "imagefolder:absent"}, ("absent", "does not exist")),
        ({"data__source": "imagefolder:{empty}"}, ("empty", "no image files")),
        ({"train__batch_size": 512}, ("512", "128 images")),
        ({"train__batch_size": 17}, ("train.batch_size", "17")),
        ({"data__image_size": 20}, ("16, 32, 64, 128", "20")),
        ({"generator__pretrained": "{empty}"}, ("empty", "model_index.json")),
    ],
)
def test_misuse_ends_in_one_line_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    (tmp_path / "empty").mkdir()
    changes = {
        key: value.format(empty=tmp_path / "empty") if isinstance(value, str) else value
        for key, value in changes.items()
    }
    with pytest.raises(MisuseError) as caught:
        train_joint(tiny_config(tmp_path / "run", **changes))
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_launch_that_divides_networks_over_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(MisuseError, match=r"divide the networks over processes \(FSDP\)"):
        train_joint(tiny_config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["/proc/run", "{file}", "{file}/run"])
def test_an_output_directory_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("kept")
    output = Path(place.format(file=tmp_path / "file"))
    with pytest.raises(SynthdataError, match=f"cannot write {output}"):
        train_joint(tiny_config(output))
    assert (tmp_path / "file").read_text() == "kept"


def test_a_pretrained_generator_that_does_not_fit_the_data_is_named(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    pretrained = finished[0] / "generator"
    with pytest.raises(MisuseError, match="makes 16-px images of 1 channels"):
        train_joint(tiny_config(tmp_path / "run", generator__pretrained=pretrained, data__image_size=32))


def test_a_pretrained_generator_needs_no_pretraining(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    train_joint(tiny_config(tmp_path / "run", generator__pretrained=finished[0] / "generator", train__steps=2))
    assert [line["phase"] for line in metrics(tmp_path / "run")] == ["joint", "joint"]


def test_labels_are_never_used_in_training(tmp_path: Path) -> None:
    digits = load_digits()
    for i, (pixels, label) in enumerate(zip(digits.images[:120], digits.target, strict=False)):
        # The same order of paths with and without the labels in them.
        for path in (tmp_path / "labelled" / str(label) / f"{i:03}.png", tmp_path / "flat" / f"{label}-{i:03}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 15).astype("uint8")).save(path)
    reports, encoders = {}, {}
    for kind in ("labelled", "flat"):
        config = tiny_config(tmp_path / kind / "run", data__source=f"imagefolder:{tmp_path / kind}", data__limit="null")
        config.output_dir = str(tmp_path / f"run-{kind}")
        reports[kind] = train_joint(config)
        encoders[kind] = load_file(tmp_path / f"run-{kind}" / "encoder" / "model.safetensors")
    assert "linear_top1" in reports["labelled"]
    assert "linear_top1" not in reports["flat"]
    assert metrics(tmp_path / "run-labelled") == metrics(tmp_path / "run-flat")
    for name, value in encoders["labelled"].items():
        assert torch.equal(encoders["flat"][name], value)


@pytest.fixture(scope="module")
def run_on_one_process(shared_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one") / "run"
    train_joint(tiny_config(folder, **shared_settings))
    return folder


def test_two_processes_with_half_the_batch_each_have_the_loss_curve_of_one(
    run_on_one_process: Path, shared_run: Path
) -> None:
    assert_two_processes_had_the_curve_of_one(shared_run, run_on_one_process)


def test_two_nodes_have_the_loss_curve_of_one_process(
    run_on_one_process: Path, shared_settings: dict[str, Any], tmp_path: Path
) -> None:
    exit_code, output, error = run_on_two_nodes("joint", tiny_flags(tmp_path / "run", **shared_settings))
    assert exit_code == 0, error
    assert_two_processes_had_the_curve_of_one(tmp_path / "run", run_on_one_process)
    assert output.count("8 rows made or kept by 2 processes") == 1


def assert_two_processes_had_the_curve_of_one(shared: Path, alone: Path) -> None:
    assert json.loads((shared / "report.json").read_text())["processes"] == 2
    one, two = metrics(alone), metrics(shared)
    assert len(one) == len(two) == 16
    for expected, found in zip(one, two, strict=True):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name] == (pytest.approx(value, rel=TOLERANCE) if isinstance(value, float) else value)


def test_two_processes_leave_one_dataset_beside_the_run_and_one_summary(two_processes_end: Any) -> None:
    folder, ended = two_processes_end
    assert verify_dataset(folder / "dataset") == []
    assert ended.output.count("8 rows made or kept by 2 processes") == 1
    assert ended.output.count(f'load_dataset("{folder}/dataset", "hard", split="train")') == 1
    assert "the last process to finish" not in ended.output


def test_two_processes_end_with_the_weights_of_one(run_on_one_process: Path, shared_run: Path) -> None:
    expected = load_file(run_on_one_process / "encoder" / "model.safetensors")
    for name, value in load_file(shared_run / "encoder" / "model.safetensors").items():
        torch.testing.assert_close(value, expected[name], atol=TOLERANCE, rtol=TOLERANCE)


def test_a_run_that_another_process_is_at_work_on_is_not_resumed(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished[0], tmp_path / "run"))
    (run / "report.json").unlink()
    config = tiny_config(run, evaluation__labels=[10], resume=True)
    hold = (
        "import sys, time; from pathlib import Path; from synthdata.claims import claimed\n"
        "with claimed(Path(sys.argv[1]), ''): print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, run / ".claim"], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        told = rf"another process is at work on {run} \(process {other.pid} on .+\): wait"
        with pytest.raises(MisuseError, match=told):
            train_joint(config)
        other.kill()
    assert train_joint(config)["steps"] == 6
    assert not (run / ".claim").exists()
