"""Metrics sent to TensorBoard as well."""

import contextlib
import io
import json
import sqlite3
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny import tiny_config

from synthdata.errors import MisuseError
from synthdata.training import train_joint


def test_event_files_hold_the_terms_of_metrics_jsonl(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install '.[tensorboard]': tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    train_joint(tiny_config(run, tracker="tensorboard", evaluation__generated=10))
    events = EventAccumulator(str(run / "synthdata"), {"images": 0})
    events.Reload()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected: dict[str, dict[int, float]] = {}
    for line in lines:
        for term in line.keys() - {"iteration", "phase", "step", "images"}:
            expected.setdefault(f"{line['phase']}/{term}", {})[line["iteration"]] = line[term]
    assert {"joint/contrastive", "joint/hardness", "pre-training/realism_a"} <= expected.keys()
    assert expected.keys() == set(events.Tags()["scalars"])
    for name, values in expected.items():
        found = {event.step: event.value for event in events.Scalars(name)}
        assert found == pytest.approx(values, rel=1e-5)

    grids = {event.step for event in events.Images("samples")}
    assert grids == {3 + round(6 * quarter / 4) for quarter in range(5)}
    shown = Image.open(io.BytesIO(events.Images("samples")[-1].encoded_image_string))
    drawn = Image.open(run / "samples" / "step-000006.png").convert("RGB")
    assert shown.convert("RGB").tobytes() == drawn.tobytes()


def test_trackio_keeps_terms_and_grids_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is first imported, which is here
    train_joint(tiny_config(tmp_path / "run", tracker="trackio", evaluation__generated=10))
    (database,) = (tmp_path / "trackio").glob("*.db")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        logged = [(step, json.loads(terms)) for step, terms in connection.execute("SELECT step, metrics FROM metrics")]
    found = {(step, name): value for step, terms in logged for name, value in terms.items()}
    for line in (json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()):
        for term in line.keys() - {"iteration", "phase", "step", "images"}:
            assert found[line["iteration"], f"{line['phase']}/{term}"] == pytest.approx(line[term])
    assert len([name for _, name in found if name == "samples"]) == 5


def test_a_tracker_that_is_not_installed_is_misuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MisuseError, match="tensorboard is not installed: pip install tensorboard"):
        train_joint(tiny_config(tmp_path / "run", tracker="tensorboard"))
    assert not (tmp_path / "run").exists()
