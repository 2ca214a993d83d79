"""Contrastive training on emitted datasets: whole runs in this process, and on two."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hub.samples import write_webdataset
from processes import REPOSITORY, start_recipe, wait_for
from safetensors.torch import load_file

from synthdata.configuration import parse
from synthdata.data import PairsConfig, load_images, load_pairs
from synthdata.errors import FailureError, MisuseError
from synthdata.models import Encoder
from synthdata.training import ContrastConfig, train_contrast
from synthdata.training.contrast import build_contrast
from synthdata.training.execution import start_accelerator

_SETTINGS: dict[str, Any] = {
    "encoder.width": 4,
    "encoder.hidden_dim": 16,
    "encoder.projection_dim": 8,
    "train.batch_size": 8,
    "train.steps": 6,
    "train.log_every": 1,
    "method_settings.queue_size": 16,
    "evaluation.limit": 200,
    "evaluation.labels": [],
}
DIGITS = REPOSITORY / "recipes" / "configs" / "contrast" / "digits.yaml"
REAL = {"data.source": "digits", "data.image_size": 8, "data.limit": 64}


def flags_of(output_dir: Path, **changes: Any) -> list[str]:
    settings = (
        _SETTINGS | {"output_dir": output_dir} | {key.replace("__", "."): value for key, value in changes.items()}
    )
    return [f"--{key}={value}" for key, value in settings.items()]


def config_of(output_dir: Path, **changes: Any) -> ContrastConfig:
    return parse(ContrastConfig, "", flags_of(output_dir, **changes))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "encoder" / "model.safetensors")


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 hard samples and 16 pairs of 8 px, in two shards each."""
    return write_webdataset(tmp_path_factory.mktemp("datasets") / "tar", rows=16)


@pytest.fixture(scope="module")
def mixed(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run on real and synthetic images, and its report."""
    folder = tmp_path_factory.mktemp("mixed") / "run"
    return folder, train_contrast(config_of(folder, shards=shards, checkpoint__every=3, **REAL))


def test_a_run_leaves_a_complete_directory(mixed: tuple[Path, dict[str, Any]]) -> None:
    folder, report = mixed
    assert json.loads((folder / "report.json").read_text()) == report
    assert report["method"] == "simclr"
    assert (report["steps"], report["images_seen"], report["synthetic_share"]) == (6, 48, 0.5)
    assert (report["real_images"], report["synthetic_rows"], report["skipped_shards"]) == (64, 32, [])
    assert report.keys() >= {"linear_top1", "knn_top1", "wall_seconds", "images_per_second", "versions", "device"}
    encoder = Encoder.from_pretrained(folder / "encoder")
    assert (encoder.image_size, encoder.channels) == (8, 1)
    lines = metrics(folder)
    assert [line["images"] for line in lines] == [8 * step for step in range(1, 7)]
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "metrics.jsonl", "progress.json", "report.json", "encoder", "checkpoints", "curves"
    }  # fmt: skip


@pytest.mark.parametrize("method", ["mocov2", "byol"])
def test_a_resumed_run_ends_with_the_bits_of_one_never_stopped(shards: Path, tmp_path: Path, method: str) -> None:
    settings = {"shards": shards, "method": method, "checkpoint__every": 4, "train__accumulation": 2}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train_contrast(config_of(whole, **settings))
    shutil.copytree(whole, resumed)
    # What a run that was killed after its fourth step leaves.
    for made in ("encoder", "curves", "checkpoints/step-000000006"):
        shutil.rmtree(resumed / made)
    (resumed / "report.json").unlink()
    train_contrast(config_of(resumed, resume="true", **settings))
    assert metrics(resumed) == metrics(whole)
    for name, value in weights(whole).items():
        assert torch.equal(weights(resumed)[name], value), name


def test_resuming_a_finished_run_gives_its_report(mixed: tuple[Path, dict[str, Any]], shards: Path) -> None:
    folder, report = mixed
    config = config_of(folder, shards=shards, checkpoint__every=3, resume="true", **REAL)
    assert train_contrast(config) == report


def test_rows_read_as_they_are_needed_train_the_same_encoder(shards: Path, tmp_path: Path) -> None:
    for name, changes in {"memory": {}, "streaming": {"resident_gib": 0.0, "workers": 0}}.items():
        train_contrast(config_of(tmp_path / name, shards=shards, **changes))
    for name, value in weights(tmp_path / "memory").items():
        assert torch.equal(weights(tmp_path / "streaming")[name], value), name


def test_without_real_images_the_encoder_is_not_scored(shards: Path, tmp_path: Path) -> None:
    report = train_contrast(config_of(tmp_path / "run", shards=shards, kinds="pairs"))
    assert (report["real_images"], report["synthetic_rows"], report["synthetic_share"]) == (0, 16, 1.0)
    assert "knn_top1" not in report
    assert Encoder.from_pretrained(tmp_path / "run" / "encoder").image_size == 8


def test_real_images_alone_need_no_shards(tmp_path: Path) -> None:
    report = train_contrast(config_of(tmp_path / "run", **REAL))
    assert (report["shards"], report["synthetic_share"]) == (None, 0.0)


def test_adainf_gives_real_images_the_weaker_views_too(shards: Path, tmp_path: Path) -> None:
    # With a whole image as its only view, a real image's two views are equal, as are a hard sample's.
    still = {
        f"synthetic_views__{name}": value
        for name, value in {
            "crop_scale": [1.0, 1.0], "crop_ratio": [1.0, 1.0], "flip_probability": 0.0, "jitter_probability": 0.0
        }.items()
    }  # fmt: skip
    settings = {"shards": shards, "kinds": "hard", "method": "vicreg", "train__steps": 1, **still, **REAL}
    losses = {}
    for mix in ("ratio", "adainf"):
        train_contrast(config_of(tmp_path / mix, mix=mix, **settings))
        losses[mix] = metrics(tmp_path / mix)[0]["contrastive"]
    # VICReg's invariance, its largest term at the start, is 0 for equal views.
    assert losses["adainf"] != losses["ratio"]
    report = json.loads((tmp_path / "adainf" / "report.json").read_text())
    assert report["synthetic_share"] == round(round(8 * 16 / (16 + 640)) / 8, 4)


def test_a_damaged_shard_is_refused_or_skipped_with_a_count(shards: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(shards, tmp_path / "damaged")
    (damaged / "data/pairs/pairs-00000-of-00002.tar").write_bytes(b"cut")
    with pytest.raises(FailureError, match=r"pairs-00000-of-00002\.tar of .* is damaged"):
        train_contrast(config_of(tmp_path / "refused", shards=damaged))
    assert not (tmp_path / "refused").exists()
    report = train_contrast(config_of(tmp_path / "skipped", shards=damaged, on_corrupt="skip"))
    assert report["skipped_shards"] == ["data/pairs/pairs-00000-of-00002.tar"]
    assert report["synthetic_rows"] == 24


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "nothing to train on: give --shards, --data.source, or both"),
        ({"shards": "{shards}", "mix": "adainf"}, "--mix adainf mixes real and synthetic images: give --data.source"),
        ({"shards": "{shards}", "data__source": "digits", "data__image_size": 16}, "has images of 8 px, not 16"),
        ({"shards": "{shards}", "train__batch_size": 64}, "a batch of 64 is larger than the data, 32 images"),
        ({"shards": "{shards}", "train__batch_size": 1, "method": "barlowtwins"}, "barlowtwins needs at least 2"),
        ({"shards": "{shards}/absent"}, "absent is no folder: give a dataset directory"),
    ],
)
def test_misuse_ends_in_one_line_before_anything_is_written(
    shards: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    changes = {key: str(value).format(shards=shards) for key, value in changes.items()}
    with pytest.raises(MisuseError) as caught:
        train_contrast(config_of(tmp_path / "run", **changes))
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_two_processes_have_the_loss_curve_of_one_and_a_signal_stops_both(shards: Path, tmp_path: Path) -> None:
    settings = {"shards": shards, "method": "byol", "train__steps": 4000, "checkpoint__every": 4000, **REAL}
    flags = [f"--config={DIGITS}", *flags_of(tmp_path / "two", **settings)]
    two = start_recipe("contrast", flags, torchrun=["--standalone", "--nproc-per-node=2"])
    deadline = time.monotonic() + 250
    while two.poll() is None and time.monotonic() < deadline and not _has_logged(tmp_path / "two", 5):
        time.sleep(0.01)
    two.send_signal(signal.SIGTERM)
    _, _, error = wait_for(two)
    assert "add --resume true to the same command" in error
    assert list((tmp_path / "two" / "checkpoints").glob("step-*"))
    assert "stopped" in (tmp_path / "two" / "index.html").read_text()
    found = [line["contrastive"] for line in metrics(tmp_path / "two")[:6]]
    assert found == pytest.approx(_first_losses(parse(ContrastConfig, "", flags), steps=6), rel=1e-4)


def _has_logged(run: Path, lines: int) -> bool:
    return (run / "metrics.jsonl").exists() and len((run / "metrics.jsonl").read_bytes().splitlines()) > lines


def _first_losses(config: ContrastConfig, steps: int) -> list[float]:
    """The losses of the first steps of a run on one process."""
    assert config.data is not None
    assert config.shards is not None
    training = build_contrast(
        config, load_images(config.data), load_pairs(PairsConfig(config.shards)), start_accelerator(config)
    )
    return [float(training.run(step)["contrastive"]) for step in range(steps)]


def test_the_settings_for_digits_are_understood() -> None:
    config = parse(ContrastConfig, "", ["--config", str(DIGITS)])
    assert config.data is not None
    assert (config.data.source, config.views.flip_probability) == ("digits", 0.0)
