"""Inception's features, with random weights since the real ones are a download."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from synthdata.data import to_float
from synthdata.errors import MisuseError
from synthdata.evaluation import find_inception_weights, frechet_distance, inception_features, load_inception

MISSING = [name for name in ("torchmetrics", "torch_fidelity") if importlib.util.find_spec(name) is None]
needs_libraries = pytest.mark.skipif(bool(MISSING), reason=f"pip install '.[inception]': {MISSING} not installed")


class ColourStatistics(nn.Module):
    """Stands in for Inception: uint8 RGB images to 6 features."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        pixels = images.float().flatten(2)
        return torch.cat([pixels.mean(2), pixels.std(2)], 1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights, in torch-fidelity's format."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, *arguments, **options):
            """Keep the random weights that the constructor has drawn."""

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "none.pth")
    network = Untrained("inception-v3-compat", ["2048"], str(folder / "none.pth"))
    torch.save(network.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


@needs_libraries
@pytest.mark.parametrize("channels", [1, 3])
def test_the_distance_in_its_features_is_that_of_torchmetrics(channels: int) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    random = torch.Generator().manual_seed(0)
    pixels = [torch.randint(low, 256, (40, channels, 8, 8), generator=random).to(torch.uint8) for low in (0, 90)]
    metric = FrechetInceptionDistance(feature=ColourStatistics())
    for images, real in zip(pixels, (False, True), strict=True):
        metric.update(images.repeat(1, 3 // channels, 1, 1), real=real)
    features = [inception_features(ColourStatistics(), to_float(images)) for images in pixels]
    assert frechet_distance(*features) == pytest.approx(float(metric.compute()), rel=1e-3)


@needs_libraries
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_from_a_file_give_2048_features_of_images_of_any_size(weights: Path, channels: int) -> None:
    images = torch.rand(2, channels, 16, 16) * 2 - 1
    with torch.no_grad():
        features = inception_features(load_inception(weights), images)
    assert features.shape == (2, 2048)
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])


@needs_libraries
def test_a_file_that_would_run_code_or_holds_other_weights_is_refused(tmp_path: Path) -> None:
    torch.save(print, tmp_path / "code.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("code.pth", "other.pth", "text.pth"):
        with pytest.raises(MisuseError, match=f"{name} holds no weights of Inception v3"):
            load_inception(tmp_path / name)


@needs_libraries
def test_weights_are_found_where_torch_keeps_them_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert find_inception_weights("auto") is None
    assert list(tmp_path.iterdir()) == []
    kept = tmp_path / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    assert find_inception_weights("auto") == kept
    assert find_inception_weights(None) is None


def test_a_named_file_that_is_missing_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"absent\.pth is no file"):
        find_inception_weights(str(tmp_path / "absent.pth"))


def test_without_the_libraries_a_named_file_is_misuse_and_auto_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(MisuseError, match="pip install torchmetrics torch-fidelity"):
        find_inception_weights(str(tmp_path / "weights.pth"))
    assert find_inception_weights("auto") is None
