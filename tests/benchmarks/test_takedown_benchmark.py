"""The benchmark of takedowns: its lists, its jobs, and its table."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from processes import REPOSITORY

from synthdata.benchmarks.takedown import TakedownBenchmarkConfig, draw_list, takedown_table
from synthdata.benchmarks.takedown_table import as_markdown
from synthdata.configuration import parse
from synthdata.data import DataConfig, load_images

SETTINGS = REPOSITORY / "recipes" / "configs" / "takedown" / "digits.yaml"
SMALL = [
    "--data.limit=60", "--encoder.width=4", "--encoder.hidden_dim=16", "--train.steps=12", "--train.batch_size=32",
    "--train.log_every=6", "--evaluation.limit=60", "--seeds=1", "--lists", "10 %", "placebo",
    "--methods", "calibration", "--relearn_steps=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TakedownBenchmarkConfig:
    output = tmp_path_factory.mktemp("benchmark") / "out"
    return parse(TakedownBenchmarkConfig, "", [f"--config={SETTINGS}", f"--output={output}", *SMALL])


@pytest.fixture(scope="module")
def table(config: TakedownBenchmarkConfig) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:  # curves take longer to draw than the small runs
        patch.setattr("synthdata.training.execution.save_curves", lambda metrics, folder: None)
        yield takedown_table(config)


def test_every_list_has_the_run_before_its_reference_and_every_method(table: str, config: object) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines() if line.startswith("| ")]
    assert rows[2:] == [
        ["10 % (6)", "before"],
        ["10 % (6)", "retrain (reference)"],
        ["10 % (6)", "calibration"],
        ["placebo (6)", "before"],
        ["placebo (6)", "calibration"],
    ]


def test_what_is_finished_is_kept(table: str, config: TakedownBenchmarkConfig) -> None:
    results = sorted(Path(config.output, "results").iterdir())
    assert [path.name for path in results] == ["seed-0-10-percent.json", "seed-0-placebo.json"]
    before = [path.stat().st_mtime_ns for path in results]
    assert takedown_table(config) == table
    assert [path.stat().st_mtime_ns for path in results] == before
    assert Path(config.output, "table.md").read_text() == table


def test_lists_are_of_training_images_but_for_the_placebo() -> None:
    data = load_images(DataConfig("digits", image_size=8, limit=200))
    trained = set(data.train.source_indices.tolist())
    for name, count in (("1 %", 2), ("10 %", 20)):
        rows = draw_list(name, data, 0)  # type: ignore[arg-type]
        assert len(set(rows)) == count
        assert set(rows) <= trained
        assert rows != draw_list(name, data, 1)  # type: ignore[arg-type]
    assert not set(draw_list("placebo", data, 0)) & trained
    of_class = data.train.of_rows(torch.tensor(draw_list("class", data, 3))).labels
    assert of_class is not None
    assert set(of_class.tolist()) == {3}


def result(seed: int, after: float) -> dict:
    def run(auc: float) -> dict:
        membership = {"auc": {"value": auc}, "told_non_members": 0.5}
        return {"membership": membership, "accuracy": {"linear_test": 90.0}, "relearn_steps": None if seed else 10}

    return {
        "list": "1 %",
        "seed": seed,
        "images": 2,
        "power": 0.8,
        "seconds": {"before": 10.0, "retrain": 10.0, "ascent": 1.0},
        "steps": {"retrain": 100, "ascent": 8},
        "runs": {"before": run(0.8), "retrain": run(0.5), "ascent": run(after)},
    }


def test_the_distance_to_the_reference_is_taken_within_a_seed() -> None:
    table = as_markdown([json.loads(json.dumps(result(seed, after))) for seed, after in ((0, 0.4), (1, 0.6))])
    ascent = next(line for line in table.splitlines() if "| ascent |" in line)
    assert "| 0.500 ± 0.141 | 0.100 ± 0.000 |" in ascent
    assert "| 10.0, 1 never |" in ascent
    assert ascent.endswith("| 0.100 ± 0.000 |")
