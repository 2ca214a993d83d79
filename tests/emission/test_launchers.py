"""The recipe on two processes."""

from pathlib import Path

from processes import run_on_two_processes

from synthdata.emission import verify_dataset

from .reading import digests


def test_shards_do_not_depend_on_the_number_of_processes(dataset: Path, run_folder: Path, tmp_path: Path):
    output = tmp_path / "two"
    flags = ["--run", str(run_folder), "--output", str(output), "--hard", "30", "--pairs", "20", "--shard_size", "8"]
    exit_code, told, error = run_on_two_processes("emit", flags)
    assert exit_code == 0, error
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
    assert told.count("50 rows made or kept by 2 processes") == 1  # one summary, of both
    assert told.count("The dataset is in") == 1
    assert "the last process to finish" not in told
    assert f'load_dataset("{output}", "pairs", split="train")' in told
