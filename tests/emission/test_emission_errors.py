"""What a person may get wrong ends in one line that names it, before anything is written."""

import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.errors import MisuseError
from synthdata.models import GAN, Encoder, GANConfig

from .conftest import PROCESSES, Emit

RECIPE = Path(__file__).parents[2] / "recipes" / "emit.py"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hard": 0, "pairs": 0}, "nothing to emit"),
        ({"hard": -1}, "hard is -1"),
        ({"shard_size": 0}, "shard_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"quality": 101}, "quality is 101"),
        ({"workers": 2, "worker": 2}, "worker is 2: it must be between 0 and 1"),
        ({"hardness_band": (0.9, 0.1)}, "hardness_band"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_a_value_out_of_range_is_named(emit_to: Emit, tmp_path: Path, changes: dict[str, object], named: str):
    with pytest.raises(MisuseError, match=named):
        emit_to(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_a_missing_run_is_named(tmp_path: Path):
    with pytest.raises(MisuseError, match=r"runs/none holds no config\.yaml"):
        emit(EmissionConfig(run="runs/none", output=str(tmp_path / "out"), hard=1))


@pytest.mark.parametrize(
    "missing",
    [
        "config.yaml",
        "encoder/config.json",
        "encoder/model.safetensors",
        "generator/model_index.json",
        "generator/partner/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_missing_file_of_the_run_is_named(run_folder: Path, tmp_path: Path, missing: str):
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    (run / missing).unlink()
    with pytest.raises(MisuseError, match=Path(missing).parts[0]):
        emit(EmissionConfig(run=str(run), output=str(tmp_path / "out"), hard=1))


def _of_another_size(run: Path) -> None:
    shutil.rmtree(run / "encoder")
    Encoder("resnet8", image_size=32, channels=1, width=4).save_pretrained(run / "encoder")


def _of_another_kind(run: Path) -> None:
    shutil.rmtree(run / "generator")
    GAN(GANConfig(latent_dim=8, width=4, max_width=8), image_size=16, channels=3).save_pretrained(run / "generator")


def _of_text(run: Path) -> None:
    (run / "encoder/model.safetensors").write_text("not weights")


def _of_no_mapping(run: Path) -> None:
    (run / "config.yaml").write_text("just text")


def _of_unknown_settings(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("source:", "origin:"))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_of_another_size, "the Encoder takes 32 px"),
        (_of_another_kind, r"the GAN takes 16 px and 3 channel"),
        (_of_text, "encoder"),
        (_of_no_mapping, r"config\.yaml is damaged"),
        (_of_unknown_settings, r"config\.yaml is damaged \(no data\.source\)"),
    ],
)
def test_a_foreign_file_in_the_run_is_named(
    run_folder: Path, tmp_path: Path, damage: Callable[[Path], None], named: str
):
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    damage(run)
    with pytest.raises(MisuseError, match=named):
        emit(EmissionConfig(run=str(run), output=str(tmp_path / "out"), hard=1))
    assert not (tmp_path / "out").exists()


def test_pickled_weights_are_never_loaded(run_folder: Path, tmp_path: Path):
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    (run / "encoder/model.safetensors").unlink()
    torch.save({}, run / "encoder/pytorch_model.bin")
    with pytest.raises(MisuseError, match=r"encoder holds no model\.safetensors"):
        emit(EmissionConfig(run=str(run), output=str(tmp_path / "out"), hard=1))


def test_other_peoples_files_are_not_written_among(emit_to: Emit, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(MisuseError, match=r"holds other files \(thesis\.tex\)"):
        emit_to(tmp_path / "out")


@pytest.mark.parametrize("output", ["file", "file/below", "/proc/none"])
def test_an_output_that_cannot_be_a_folder_is_named(emit_to: Emit, tmp_path: Path, output: str):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(MisuseError, match="cannot write"):
        emit_to(tmp_path / output)


def test_pairs_of_a_generator_whose_members_are_equal_are_refused(run_folder: Path, tmp_path: Path):
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    weights = "diffusion_pytorch_model.safetensors"
    shutil.copy(run / "generator/generator" / weights, run / "generator/partner" / weights)
    with pytest.raises(MisuseError, match="make equal images"):
        emit(EmissionConfig(run=str(run), output=str(tmp_path / "out"), pairs=1))


def _run_recipe(flags: list[str], stderr: Path) -> None:
    sys.argv = [str(RECIPE), *flags]
    with stderr.open("w") as sys.stderr:
        runpy.run_path(str(RECIPE), run_name="__main__")


def test_the_recipe_ends_in_one_line_and_exit_code_2(tmp_path: Path):
    flags = ["--run", str(tmp_path), "--output", str(tmp_path / "out"), "--hard", "1"]
    ended = PROCESSES.Process(target=_run_recipe, args=(flags, tmp_path / "stderr"))
    ended.start()
    ended.join()
    assert ended.exitcode == 2
    assert (tmp_path / "stderr").read_text().startswith(f"error: {tmp_path} holds no config.yaml")
    assert len((tmp_path / "stderr").read_text().splitlines()) == 1


@pytest.mark.parametrize("part", ["encoder", "generator/partner"])
def test_weights_that_are_not_finite_are_named(run_folder: Path, tmp_path: Path, part: str):
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    (path,) = (run / part).glob("*.safetensors")
    tensors = load_file(path)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(MisuseError, match=rf"{path.name} .*{name}.* not finite"):
        emit(EmissionConfig(run=str(run), output=str(tmp_path / "out"), hard=1))
    assert not (tmp_path / "out").exists()
