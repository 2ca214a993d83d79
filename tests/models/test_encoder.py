from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from synthdata.errors import MisuseError
from synthdata.models import Encoder
from synthdata.models.encoder import Backbone
from synthdata.rng import generator_at


def small_encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder("resnet8", image_size=16, channels=1, width=4, hidden_dim=8, projection_dim=6)


def images(count: int, channels: int = 1, size: int = 16) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=generator_at("images")) * 2 - 1


@pytest.mark.parametrize(("image_size", "channels"), [(16, 1), (32, 3), (96, 3), (96, 1)])
@pytest.mark.parametrize("backbone", ["resnet8", "resnet14", "resnet18", "resnet50", "mobilenet_v3_small", "vit_tiny"])
def test_every_backbone_gives_unit_norm_embeddings(backbone: Backbone, image_size: int, channels: int) -> None:
    encoder = Encoder(backbone, image_size, channels, projection_dim=32)
    with torch.no_grad():
        embeddings = encoder(images(2, channels, image_size))
        assert encoder.features(images(2, channels, image_size)).shape == (2, encoder.feature_dim)
    assert embeddings.shape == (2, 32)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))


def test_a_small_image_keeps_its_positions_in_the_stem() -> None:
    resnet = Encoder("resnet18", image_size=32, channels=3).backbone
    assert resnet.conv1.stride == (1, 1)
    assert torch.equal(resnet.maxpool(images(1)), images(1))


def test_an_encoder_survives_saving_and_loading(tmp_path: Path) -> None:
    encoder = small_encoder()
    encoder(images(8))  # moves the batch statistics, which must be saved too
    encoder.save_pretrained(tmp_path / "encoder")
    assert {path.name for path in (tmp_path / "encoder").iterdir()} >= {"config.json", "model.safetensors"}
    loaded = Encoder.from_pretrained(tmp_path / "encoder")
    assert (loaded.image_size, loaded.channels, loaded.feature_dim) == (16, 1, 16)
    assert torch.equal(loaded.eval()(images(4)), encoder.eval()(images(4)))


def test_loading_prints_nothing_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_encoder().save_pretrained(tmp_path)
    Encoder.from_pretrained(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_of_the_encoder_is_refused(tmp_path: Path, missing: str) -> None:
    small_encoder().save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(MisuseError, match=missing):
        Encoder.from_pretrained(tmp_path)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    small_encoder().save_pretrained(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MisuseError, match=r"no model\.safetensors"):
        Encoder.from_pretrained(tmp_path)


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    small_encoder().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("projection_head.0.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(MisuseError, match="do not fit"):
        Encoder.from_pretrained(tmp_path)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    small_encoder().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(MisuseError, match="do not fit"):
        Encoder.from_pretrained(tmp_path)


def test_a_path_that_is_no_folder_is_named() -> None:
    with pytest.raises(MisuseError, match="runs/absent/encoder is neither a folder nor a repository"):
        Encoder.from_pretrained("runs/absent/encoder")


def test_an_unknown_backbone_is_named_with_the_known_ones() -> None:
    with pytest.raises(MisuseError, match=r"'resnet9'.*resnet8, resnet14"):
        Encoder("resnet9", 16, 1)  # type: ignore[arg-type]


def test_a_size_that_patches_do_not_fill_is_named() -> None:
    with pytest.raises(MisuseError, match="image_size 18"):
        Encoder("vit_tiny", 18, 1)


def test_loading_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small_encoder().save_pretrained(tmp_path)
    Encoder.from_pretrained(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("{", "no JSON"),
        ('{"image_size": 16, "channels": 1}', "no backbone"),
        ('{"backbone": "resnet8", "image_size": "16", "channels": 1}', 'image_size is "16": it must be a whole number'),
        ('{"backbone": "resnet8", "image_size": 16, "channels": 1, "width": 1000000}', "width is 1000000: it must be"),
    ],
)
def test_a_configuration_of_no_encoder_is_named(tmp_path: Path, config: str, told: str) -> None:
    small_encoder().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(MisuseError, match=rf"config\.json is damaged \({told}"):
        Encoder.from_pretrained(tmp_path)
