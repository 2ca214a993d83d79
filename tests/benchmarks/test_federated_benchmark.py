"""The benchmark of federated methods, on next to nothing."""

from pathlib import Path
from typing import Any, get_args

import pytest

from synthdata.benchmarks.federated import Arm, FederatedBenchmarkConfig, federated_table, run_of
from synthdata.configuration import parse
from synthdata.training.run_directory import as_plain, flatten

SETTINGS = {
    "data.source": "digits",
    "data.limit": 200,
    "tasks": 2,
    "clients": 4,
    "rounds": 1,
    "encoder.width": 4,
    "train.clients_per_round": 2,
    "train.epochs": 1,
    "seeds": 2,
    "arms": "['fedavg','noise']",
}


def config_of(output_dir: Path) -> FederatedBenchmarkConfig:
    flags = [f"--{key}={value}" for key, value in (SETTINGS | {"output_dir": output_dir}).items()]
    return parse(FederatedBenchmarkConfig, "", flags)


def test_arms_are_told_over_seeds_and_what_is_finished_is_kept(tmp_path: Path) -> None:
    table = federated_table(config_of(tmp_path))
    _, _, fedavg, noise = table.splitlines()
    assert fedavg.startswith("fedavg ")
    assert noise.startswith("noise ")
    assert fedavg.count("±") == 4
    reports = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("report.json")}
    assert len(reports) == 4
    assert federated_table(config_of(tmp_path)) == table
    assert {path: path.stat().st_mtime_ns for path in reports} == reports


@pytest.mark.parametrize(
    ("arm", "changes"),
    [
        *((method, {"method": method}) for method in ("fedavg", "fedprox", "fedlwf", "oracle")),
        ("mfcl", {}),
        ("noise", {"rehearsal.images": "noise"}),
        ("untrained", {"rehearsal.images": "untrained"}),
        ("no_distillation", {"rehearsal.distillation_weight": 0.0}),
        ("joint_cross_entropy", {"rehearsal.split": False}),
        ("no_statistics", {"generator.statistics_weight": 0.0}),
        ("no_diversity", {"generator.diversity_weight": 0.0}),
        ("contrastive", {"contrastive": True}),
    ],
)
def test_an_arm_differs_from_mfcl_in_what_it_says_and_nothing_else(
    tmp_path: Path, arm: Arm, changes: dict[str, Any]
) -> None:
    mfcl, changed = (flatten(as_plain(run_of(config_of(tmp_path), each, 3))) for each in ("mfcl", arm))
    assert {key: value for key, value in changed.items() if value != mfcl[key]} == changes
    assert arm in get_args(Arm)
    assert changed["seed"] == 3
