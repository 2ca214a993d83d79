"""Where the parts of a run are."""

from pathlib import Path

import pytest
import yaml

from synthdata.errors import MisuseError
from synthdata.training.config import JointConfig
from synthdata.training.run_directory import RunDirectory, dataset_folder


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


def test_a_run_of_an_earlier_version_goes_on_with_the_settings_that_came_since_at_their_defaults(
    tmp_path: Path,
) -> None:
    run, config = RunDirectory(tmp_path / "run"), JointConfig()
    run.open(config, resume=False)
    older = yaml.safe_load(run.config.read_text())
    del older["synthetic"]["tune_variants"]
    run.config.write_text(yaml.safe_dump(older))
    run.open(config, resume=True)
    config.synthetic.tune_variants = True
    with pytest.raises(MisuseError, match=r"holds a run with synthetic\.tune_variants False, not True"):
        run.open(config, resume=True)
