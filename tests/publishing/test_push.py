"""What a push refuses before it talks to the Hub. Pushes themselves are tested in tests/hub, against a server."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from synthdata.errors import FailureError, MisuseError
from synthdata.publishing.push import push_dataset, push_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    save_file({"weight": np.zeros(100, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("name", ["weights.bin", "weights.pt", "weights.pkl", "model.py", "sub/model.npy"])
def test_a_model_with_files_that_could_run_code_is_misuse(model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"")
    with pytest.raises(MisuseError, match=f"{name}.*safetensors"):
        push_model(model, "ada/encoder")


def test_a_pickle_that_is_named_safetensors_is_refused(model: Path) -> None:
    (model / "other.safetensors").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(FailureError, match=r"other\.safetensors"):
        push_model(model, "ada/encoder")


def test_truncated_weights_are_not_pushed(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(FailureError, match=r"model\.safetensors is truncated"):
        push_model(model, "ada/encoder")


def test_a_truncated_configuration_is_not_pushed(model: Path) -> None:
    (model / "config.json").write_text('{"width": ')
    with pytest.raises(FailureError, match=r"config\.json is damaged"):
        push_model(model, "ada/encoder")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_is_no_model_is_misuse(model: Path, missing: str) -> None:
    (model / missing).unlink()
    with pytest.raises(MisuseError, match=str(model)):
        push_model(model, "ada/encoder")


def test_a_folder_without_a_manifest_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"manifest\.json"):
        push_dataset(tmp_path, "ada/digits")
