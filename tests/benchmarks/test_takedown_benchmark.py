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
    values, differences = (
        [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines() if line.startswith("| ")][2:]
        for part in table.split("Less the reference")
    )
    assert [row[:2] for row in values] == [
        ["10 % (6)", "before"],
        ["10 % (6)", "retrain (reference)"],
        ["10 % (6)", "retrain again"],
        ["10 % (6)", "calibration"],
        ["placebo (6)", "before (reference)"],
        ["placebo (6)", "calibration"],
    ]
    assert [row[:2] for row in differences] == [row[:2] for row in values if "reference" not in row[1]]
    assert set(differences[-1][3:]) == {"+0.000", "1 of 1"}  # a placebo changes nothing


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
    def run(auc: float, accuracy: float) -> dict:
        membership = {"auc": {"value": auc}, "true_positive_rate": {"value": 0.1}, "told_non_members": 0.5}
        accuracies = {"linear_test": accuracy}
        return {"membership": membership, "accuracy": accuracies, "relearn_steps": None if seed else 10}

    return {
        "list": "1 %",
        "seed": seed,
        "images": 2 + seed,
        "power": 0.8,
        "cpu_seconds": {"before": 10.0, "retrain": 10.0, "ascent": 1.0},
        "steps": {"retrain": 100, "ascent": 8},
        "runs": {"before": run(0.8, 95.0), "retrain": run(0.5, 90.0), "ascent": run(after, 90.0 - 1.5 * seed)},
    }


def test_differences_to_the_reference_are_taken_within_a_seed() -> None:
    table = as_markdown([json.loads(json.dumps(result(seed, after))) for seed, after in ((0, 0.48), (1, 0.6))])
    value, difference = (line for line in table.splitlines() if "| ascent |" in line)
    assert value.startswith("| 1 % (2 to 3) | ascent | 2 | 0.540 ± 0.085 | 10.0 ± 0.0 | 50.0 ± 0.0 | 89.2 ± 1.1 |")
    assert "| 10.0, 1 never | 8.0 ± 0.0 | 0.100 ± 0.000 |" in value
    assert difference.startswith("| 1 % (2 to 3) | ascent | 2 | +0.040 ± 0.085 | +0.000 ± 0.000 | +0.000 ± 0.000 |")
    assert "| -0.750 ± 1.061 |" in difference
    assert difference.endswith("| 1 of 2 | 1 of 2 |")
