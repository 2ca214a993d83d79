"""The recipe under a launcher."""

import subprocess
import sys
from pathlib import Path

from synthdata.emission import verify_dataset

from .reading import digests

RECIPE = Path(__file__).parents[2] / "recipes" / "emit.py"


def test_shards_do_not_depend_on_the_number_of_processes(dataset: Path, run_folder: Path, tmp_path: Path):
    output = tmp_path / "two"
    # without the double dash, torchrun itself takes --run on Python below 3.12
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--"]
    flags = ["--run", run_folder, "--output", output, "--hard", "30", "--pairs", "20", "--shard_size", "8"]
    launched = subprocess.run([*launcher, RECIPE, *flags], capture_output=True, text=True, timeout=240)
    assert launched.returncode == 0, launched.stderr
    assert digests(output) == digests(dataset)
    assert verify_dataset(output) == []
    assert sorted(path.name for path in output.iterdir()) == [
        "README.md",
        "assets",
        "croissant.json",
        "data",
        "index.html",
        "manifest.json",
    ]
    assert launched.stdout.count("50 rows made or kept by 2 processes") == 1  # one summary, of both
    assert launched.stdout.count("The dataset is in") == 1
    assert "the last process to finish" not in launched.stdout
    assert f'load_dataset("{output}", "pairs", split="train")' in launched.stdout
