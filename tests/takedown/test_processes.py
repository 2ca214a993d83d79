"""The recipes as a user starts them."""

from pathlib import Path

import torch
from processes import start_recipe, wait_for
from safetensors.torch import load_file


def test_two_processes_take_down_what_one_does_and_the_audit_tells_of_it(
    run_folder: Path, forget: Path, taken_down: Path, tmp_path: Path
) -> None:
    # torchrun itself reads --run, wherever it stands
    (tmp_path / "run.yaml").write_text(f"run: {run_folder}")
    flags = [f"--config={tmp_path / 'run.yaml'}", f"--forget={forget}", f"--output_dir={tmp_path / 'new'}"]
    flags += ["--share=1.0", "--page=false"]
    code, output, error = wait_for(start_recipe("takedown", flags, processes=2))
    assert code == 0, error
    assert "4 images taken down" in output
    for file in ("encoder/model.safetensors", "generator/partner/diffusion_pytorch_model.safetensors"):
        one, two = load_file(taken_down / file), load_file(tmp_path / "new" / file)
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=1e-2, atol=1e-3, msg=name)


def test_unknown_entries_are_told_a_line_each_and_the_audit_prints_its_table(
    run_folder: Path, taken_down: Path, forget: Path, tmp_path: Path
) -> None:
    audited = [f"--run={taken_down}", f"--forget={forget}", "--relearn_steps=5", "--generated=20"]
    auditing = start_recipe("audit", [*audited, f"--output={tmp_path / 'audit'}"])
    (tmp_path / "forget.txt").write_text("3\nclass:cat\n99999")
    flags = [f"--run={run_folder}", f"--forget={tmp_path / 'forget.txt'}", f"--output_dir={tmp_path / 'new'}"]
    code, output, error = wait_for(start_recipe("takedown", flags))
    assert (code, output) == (2, "")
    lines = error.splitlines()
    assert lines[:2] == ["line 2: class:cat", "line 3: 99999"]
    assert lines[2].startswith("error: 2 of 3 entries name no training image of digits")
    assert not (tmp_path / "new").exists()
    code, output, error = wait_for(auditing)
    assert code == 0, error
    assert output.startswith("# Audit of a takedown\n\nNothing can be concluded")
