"""What a dataset costs beside its rows, measured without making any."""

from pathlib import Path

import pytest

from synthdata.benchmarks.planning import PlanningConfig, planning_steps, planning_table
from synthdata.emission import read_manifest
from synthdata.errors import MisuseError


def test_a_dataset_is_planned_recorded_finished_and_verified_without_a_row(tmp_path: Path) -> None:
    steps = planning_steps(2_500, 100, tmp_path)
    assert [step.name.split()[0] for step in steps] == ["plan", "25", "what", "manifest", "verify"]
    assert read_manifest(tmp_path)["kinds"]["hard"]["rows"] == 2_500


def test_more_shards_than_a_dataset_may_have_are_refused_with_a_size_that_fits() -> None:
    with pytest.raises(MisuseError, match=r"10,000,000 shards, .* 2,000,000 .*: set --shard_size 500 or more"):
        planning_table(PlanningConfig(rows=1e9, shard_size=100))
