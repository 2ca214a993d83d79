from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from synthdata.benchmarks.label_reach import (
    Job,
    LabelReachConfig,
    Measured,
    correlations,
    label_reach_table,
    measure_label_reach,
)
from synthdata.configuration import parse
from synthdata.errors import MisuseError

FLAGS = [
    *("--data.source=digits", "--data.image_size=16", "--data.limit=200", "--encoder.width=2", "--steps", "0", "2"),
    *("--methods=simclr", "--seeds=1", "--withheld", "3", "--withheld_seeds=1", "--train.batch_size=16"),
    *("--evaluation.limit=100", "--evaluation.labels=[20]"),
]


def config(output: Path, *flags: str) -> LabelReachConfig:
    return parse(LabelReachConfig, "", [*FLAGS, f"--output={output}", *flags])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Measured]]:
    folder = tmp_path_factory.mktemp("label-reach")
    return folder, measure_label_reach(config(folder))


def test_encoders_before_and_after_training_and_without_a_class_are_measured(
    measured: tuple[Path, list[Measured]],
) -> None:
    _, all_of_them = measured
    jobs = [("simclr", 0, None), ("simclr", 2, None), ("simclr", 2, ""), ("simclr", 2, "3")]
    assert [(each.job.method, each.job.steps, each.job.withheld) for each in all_of_them] == jobs
    for each in all_of_them:
        assert each.floors.keys() == each.recalls.keys() == {str(digit) for digit in range(10)}
        assert {"linear_top1", "knn_top1", "linear_20_labels_top1"} <= each.scores.keys()
        assert 0 < each.reach["chance"] < 8.1 / 79
    assert len({each.reach["excess"] for each in all_of_them}) == 4


def test_finished_encoders_are_kept_and_told(measured: tuple[Path, list[Measured]]) -> None:
    folder, before = measured
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    table = label_reach_table(config(folder))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == times
    assert measure_label_reach(config(folder)) == before
    assert (folder / "report.md").read_text() == table
    assert "| withheld | its floor |" in table


def test_correlations_are_of_ranks(measured: tuple[Path, list[Measured]]) -> None:
    first = measured[1][0]
    linear, excess = [50.0, 60.0, 55.0, 70.0], [0.2, 0.3, 0.4, 0.9]
    encoders = [
        replace(first, job=Job("simclr", 1, seed), scores={"linear_top1": top1}, reach=first.reach | {"excess": value})
        for seed, (top1, value) in enumerate(zip(linear, excess, strict=True))
    ]
    withheld = replace(encoders[0], job=Job("simclr", 1, 9, "3"), scores={"linear_top1": 0.0})
    expected = np.corrcoef(rankdata(linear), rankdata(excess))[0, 1]
    found = correlations([*encoders, withheld])
    assert found["excess"]["linear_top1"] == pytest.approx(expected)
    assert np.isnan(found["k90"]["linear_top1"])  # the same for all


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--withheld=eleven"], "withheld names eleven, which is no class of digits: 0, 1, 2"),
        (["--reach_images=50"], "too few images for 8 features"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(tmp_path: Path, flags: list[str], told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        measure_label_reach(config(tmp_path, "--steps=0", *flags))
