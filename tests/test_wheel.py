"""The package as a wheel brings it: installed in an environment of its own, used in an empty folder."""

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from processes import REPOSITORY

import synthdata

RunInstalled = Callable[..., subprocess.CompletedProcess[str]]
RECIPES = sorted(
    path.relative_to(REPOSITORY)
    for path in (REPOSITORY / "recipes").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has this package from its wheel, and all else from the one of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    built = run(*build, "--wheel-dir", folder, REPOSITORY, folder=folder)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("synthdata-*.whl")
    venv.create(folder / "environment", with_pip=False)
    binaries = folder / "environment" / "bin"
    (site,) = (folder / "environment" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    install = [sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--quiet", "--no-deps"]
    installed = run(*install, "--no-index", "--ignore-installed", wheel, folder=folder)
    assert installed.returncode == 0, installed.stderr
    return binaries


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def quickstart(binaries: Path, empty: Path) -> subprocess.CompletedProcess[str]:
    return run(binaries / "synthdata", "quickstart", folder=empty)


def test_the_package_is_the_one_of_the_wheel(binaries: Path, empty: Path) -> None:
    shown = run(binaries / "python", "-c", "import synthdata; print(synthdata.__file__)", folder=empty)
    assert Path(shown.stdout.strip()).is_relative_to(binaries.parent), shown.stderr
    for command in ([binaries / "synthdata"], [binaries / "python", "-m", "synthdata"]):
        assert run(*command, "--version", folder=empty).stdout == f"synthdata {synthdata.__version__}\n"
    assert "quickstart" in run(binaries / "synthdata", "--help", folder=empty).stdout


def test_quickstart_copies_every_recipe_and_says_what_to_run(
    quickstart: subprocess.CompletedProcess[str], empty: Path
) -> None:
    assert (quickstart.returncode, quickstart.stderr) == (0, "")
    assert "accelerate launch recipes/joint.py\n" in quickstart.stdout
    copied = [path for path in (empty / "recipes").rglob("*") if path.is_file()]
    assert sorted(path.relative_to(empty) for path in copied) == RECIPES
    for path in RECIPES:
        assert (empty / path).read_bytes() == (REPOSITORY / path).read_bytes()


def test_a_copied_recipe_finds_its_settings(
    quickstart: subprocess.CompletedProcess[str], binaries: Path, empty: Path
) -> None:
    shown = run(binaries / "python", "recipes/joint.py", "--print_config", folder=empty)
    assert shown.returncode == 0, shown.stderr
    settings = yaml.safe_load(shown.stdout)
    assert (settings["output_dir"], settings["views"]["flip_probability"]) == ("runs/digits", 0)


def test_the_wheel_carries_the_templates_of_the_cards(binaries: Path, empty: Path) -> None:
    (folder,) = binaries.parent.glob("lib/python*/site-packages/synthdata/publishing/templates")
    expected = {path.name for path in (REPOSITORY / "cards" / "templates").iterdir()}
    assert {path.name for path in folder.iterdir()} == expected


def test_quickstart_overwrites_nothing(
    quickstart: subprocess.CompletedProcess[str], binaries: Path, tmp_path: Path
) -> None:
    assert run(binaries / "synthdata", "quickstart", "--output", tmp_path / "mine", folder=tmp_path).returncode == 0
    recipes = tmp_path / "mine" / "recipes"
    assert run(binaries / "synthdata", "quickstart", "--output=mine", folder=tmp_path).returncode == 0
    (recipes / "joint.py").write_text("# mine\n")
    (recipes / "emit.py").unlink()
    refused = run(binaries / "synthdata", "quickstart", "--output=mine", folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: mine/recipes/joint.py would be overwritten")
    assert refused.stderr.count("\n") == 1
    assert (recipes / "joint.py").read_text() == "# mine\n"
    assert not (recipes / "emit.py").exists()
