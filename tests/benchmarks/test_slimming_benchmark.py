"""Small encoders side by side: trainings at equal steps or operations, and their table."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from synthdata.benchmarks.slimming import (
    SlimmingBenchmarkConfig,
    effective_rank,
    load_slimming_data,
    run_slimming,
)
from synthdata.benchmarks.slimming_table import as_markdown
from synthdata.configuration import parse
from synthdata.errors import MisuseError
from synthdata.models import Encoder, cost_of

ARMS = ["target", "target_equal_operations", "host", "cut", "sacl_xd"]


def config_of(folder: Path, **changes: Any) -> SlimmingBenchmarkConfig:
    settings = {
        "data.source": "digits", "data.image_size": 8, "data.limit": 64, "encoder.width": 16, "encoder.hidden_dim": 16,
        "encoder.projection_dim": 8, "train.batch_size": 8, "train.steps": 4, "method_settings.slim_warmup": 0.5,
        "evaluation.limit": 100, "seeds": 1, "arms": json.dumps(ARMS), "output": folder,
    } | {key.replace("__", "."): value for key, value in changes.items()}  # fmt: skip
    return parse(SlimmingBenchmarkConfig, "", [f"--{key}={value}" for key, value in settings.items()])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """The folder, the table, and the results by arm."""
    folder = tmp_path_factory.mktemp("slimming")
    text = run_slimming(config_of(folder))
    results = {arm: json.loads((folder / "results" / f"{arm}-seed-0.json").read_text()) for arm in ARMS}
    return folder, text, results


def test_small_encoders_cost_the_same_whatever_made_them(measured: tuple[Path, str, dict[str, Any]]) -> None:
    _, _, results = measured
    small, host = (cost_of(Encoder("resnet8", 8, 1, width=width)) for width in (8, 16))
    for arm, result in results.items():
        expected = host if arm == "host" else small
        assert (result["encoder"]["parameters"], result["encoder"]["operations"]) == (
            expected.parameters,
            expected.operations,
        )
    assert results["cut"]["host"] == results["host"]["encoder"]
    assert results["sacl_xd"]["host"]["parameters"] == host.parameters


def test_one_arm_has_the_operations_of_the_slimmed_training_in_more_steps(
    measured: tuple[Path, str, dict[str, Any]],
) -> None:
    _, _, results = measured
    more, equal, slimmed = (results[arm] for arm in ("target_equal_operations", "target", "sacl_xd"))
    assert more["steps"] > equal["steps"] == slimmed["steps"] == 4
    a_step = equal["training_operations"] / 4
    assert abs(more["training_operations"] - slimmed["training_operations"]) <= a_step
    assert results["host"]["training_operations"] > 3 * equal["training_operations"]


def test_the_table_tells_scores_costs_and_differences(measured: tuple[Path, str, dict[str, Any]]) -> None:
    folder, text, results = measured
    assert (folder / "table.md").read_text() == text
    assert (folder / "table.png").stat().st_size < 200_000
    assert f"| {results['cut']['encoder']['linear']:.2f} |" in text
    gain = results["sacl_xd"]["encoder"]["linear"] - results["target"]["encoder"]["linear"]
    assert f"| sacl_xd − target | {'+' if gain > 0 else ''}{gain:.2f} ({int(gain > 0)} of 1) |" in text


def test_finished_trainings_are_kept(measured: tuple[Path, str, dict[str, Any]]) -> None:
    folder, text, _ = measured
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")}
    assert run_slimming(config_of(folder)) == text
    assert {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")} == before


def test_runs_with_other_settings_are_not_mixed_in(measured: tuple[Path, str, dict[str, Any]]) -> None:
    with pytest.raises(MisuseError, match=r"holds a run with train\.steps 4, not 5"):
        run_slimming(config_of(measured[0], train__steps=5))


def test_a_backbone_of_fixed_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="resnet18, whose width is fixed"):
        load_slimming_data(config_of(tmp_path, encoder__backbone="resnet18"))


def test_effective_rank_is_the_number_of_directions_that_carry_alike() -> None:
    basis, _ = torch.linalg.qr(torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    centred = basis - basis.mean(0)
    orthogonal, _ = torch.linalg.qr(centred)
    assert effective_rank(orthogonal @ torch.eye(3, 8, dtype=torch.float64)) == pytest.approx(3)
    assert effective_rank(orthogonal[:, :1] @ torch.ones(1, 8, dtype=torch.float64)) == pytest.approx(1)


def test_differences_are_of_seeds_that_both_arms_have() -> None:
    def result(arm: str, seed: int, linear: float) -> dict[str, Any]:
        encoder = {"parameters": 1, "operations": 1, "linear": linear, "knn": linear, "effective_rank": 1.0}
        return {"arm": arm, "seed": seed, "steps": 1, "training_operations": 1, "encoder": encoder}

    results = [result("target", 0, 50.0), result("target", 1, 60.0), result("sacl_xd", 1, 58.0)]
    assert "| sacl_xd − target | -2.00 (0 of 1) | -2.00 (0 of 1) |" in as_markdown(results)
