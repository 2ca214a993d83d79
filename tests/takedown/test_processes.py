"""The recipes, on one process and on two."""

import json
from pathlib import Path
from typing import Any

import pytest
from processes import ForkedRecipe, run_on_two_processes, wait_for


def logged(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_take_down_as_one_does_and_an_audit_tells_of_it(
    run_folder: Path, forget: Path, taken_down: Path, tmp_path: Path
) -> None:
    flags = [f"--run={run_folder}", f"--forget={forget}", f"--output_dir={tmp_path / 'new'}"]
    audited = [f"--run={taken_down}", f"--forget={forget}", "--relearn_steps=5", "--generated=20"]
    auditing = ForkedRecipe("audit", [*audited, f"--output={tmp_path / 'audit'}"])
    code, output, error = run_on_two_processes("takedown", [*flags, "--share=1.0", "--page=false"])
    assert code == 0, error
    assert "4 images taken down" in output
    one, two = logged(taken_down), logged(tmp_path / "new")
    assert [line["phase"] for line in two] == [line["phase"] for line in one]
    for name in ("calibration", "known", "critic_adversarial", "realism_a"):
        expected = [line[name] for line in one if name in line]
        assert [line[name] for line in two if name in line] == pytest.approx(expected, rel=0.02), name
    code, output, error = wait_for(auditing)
    assert code == 0, error
    assert output.startswith("# Audit of a takedown\n\nNothing can be concluded")
