"""Metrics sent to TensorBoard as well."""

import json
import sys
from pathlib import Path

import pytest
from tiny import tiny_config

from synthdata.errors import MisuseError
from synthdata.training import train_joint


def test_event_files_hold_the_terms_of_metrics_jsonl(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install '.[tensorboard]': tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    train_joint(tiny_config(run, tracker="tensorboard", evaluation__generated=10))
    events = EventAccumulator(str(run / "synthdata"))
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


def test_a_tracker_that_is_not_installed_is_misuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MisuseError, match="tensorboard is not installed: pip install tensorboard"):
        train_joint(tiny_config(tmp_path / "run", tracker="tensorboard"))
    assert not (tmp_path / "run").exists()
