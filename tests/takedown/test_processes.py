"""The recipes as a user starts them."""

import json
from pathlib import Path
from typing import Any

import pytest
from processes import start_recipe, wait_for


def logged(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_take_down_as_one_does_and_an_audit_tells_of_it(
    run_folder: Path, forget: Path, taken_down: Path, tmp_path: Path
) -> None:
    # torchrun itself reads --run, wherever it stands
    (tmp_path / "run.yaml").write_text(f"run: {run_folder}")
    flags = [f"--config={tmp_path / 'run.yaml'}", f"--forget={forget}", f"--output_dir={tmp_path / 'new'}"]
    taking_down = start_recipe("takedown", [*flags, "--share=1.0", "--page=false"], processes=2)
    audited = [f"--run={taken_down}", f"--forget={forget}", "--relearn_steps=5", "--generated=20"]
    auditing = start_recipe("audit", [*audited, f"--output={tmp_path / 'audit'}"])
    code, output, error = wait_for(taking_down)
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
