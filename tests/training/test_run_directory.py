"""Where the parts of a run are."""

from pathlib import Path

import pytest

from synthdata.training.run_directory import dataset_folder


@pytest.mark.parametrize(
    ("run", "dataset"),
    [
        ("runs/digits", "out/digits"),
        ("runs/digits/", "out/digits"),
        ("deep/runs/digits", "deep/out/digits"),
        ("/data/runs/digits", "/data/out/digits"),
        ("elsewhere/digits", "elsewhere/digits/dataset"),
        ("runs/sweep/digits", "runs/sweep/digits/dataset"),
        ("/data/digits", "/data/digits/dataset"),
        ("digits", "digits/dataset"),
    ],
)
def test_the_dataset_of_a_run_is_beside_it(run: str, dataset: str) -> None:
    assert str(dataset_folder(Path(run))) == dataset


def test_the_dataset_of_a_run_is_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs" / "digits").mkdir(parents=True)
    for folder, run in ((tmp_path, "runs/digits"), (tmp_path / "runs", "digits"), (tmp_path / "runs" / "digits", ".")):
        monkeypatch.chdir(folder)
        assert dataset_folder(Path(run)).resolve() == tmp_path / "out" / "digits"
