"""Image classifiers behind one interface: an encoder with a linear layer, torchvision's, and transformers'."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_model
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from synthdata.errors import MisuseError, shortened
from synthdata.formats import ClassifierSettings, EncoderSettings, ImageProcessor
from synthdata.models.encoder import Encoder
from synthdata.models.finite import check_finite
from synthdata.objectives.data_free import Moments, channel_moments
from synthdata.reading import UnsoundError, checked, read_json

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision's classifiers expect pixels in [0, 1] to be normalised by."""

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_UNFITTING = (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError, UnsoundError)

T = TypeVar("T")


class LinearClassifier(nn.Module):
    """An encoder without its projection head, and a linear layer that starts from zero.

    Args:
        encoder: copied.
        classes: number of classes.
        widening: applied to the features, standardised over the batch, before the linear layer; it tells its
            ``out_features``.
    """

    def __init__(self, encoder: Encoder, classes: int, widening: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        self.encoder.projection_head = nn.Sequential()
        width = encoder.feature_dim if widening is None else cast(int, widening.out_features)
        linear = nn.Linear(width, classes)
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        self.head: nn.Module = linear
        if widening is not None:
            standardised = nn.BatchNorm1d(encoder.feature_dim, affine=False)
            self.head = nn.Sequential(standardised, widening, linear)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W) in [−1, 1]."""
        return self.head(self.encoder.features(images))


class Classifier(nn.Module):
    """A frozen classifier of images as everything here has them: float (N, C, H, W) in [−1, 1] to logits (N, K).

    Args:
        network: normalised images to logits.
        architecture: JSON-ready; how ``network`` is built without its weights.
        image_size: height and width of the images, in pixels.
        channels: 1 (greyscale) or 3 (RGB).
        classes: names of the K classes.
        mean: of each channel, what pixels in [0, 1] are normalised by before ``network`` sees them.
        std: likewise.
    """

    def __init__(
        self,
        network: nn.Module,
        architecture: dict[str, Any],
        image_size: int,
        channels: int,
        classes: Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.architecture = architecture
        self.image_size, self.channels = image_size, channels
        self.classes, self.mean, self.std = list(classes), list(mean), list(std)
        self._mean: Tensor
        self._std: Tensor
        self.register_buffer("_mean", torch.tensor(self.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(self.std).view(1, -1, 1, 1), persistent=False)

    @classmethod
    def of_encoder(cls, classifier: LinearClassifier, classes: Sequence[str]) -> Self:
        """The classifier that an encoder of this package and a linear layer make."""
        encoder = classifier.encoder
        architecture = {"kind": "encoder", "encoder": dict(cast(dict[str, Any], encoder._hub_mixin_config))}
        half = [0.5] * encoder.channels  # [0, 1] to the [−1, 1] that encoders take
        return cls(classifier, architecture, encoder.image_size, encoder.channels, classes, half, half)

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images / 2 + 0.5 - self._mean) / self._std)

    def normalising_layers(self) -> list[_BatchNorm]:
        """The layers of batch normalisation that keep running statistics."""
        layers = [layer for layer in self.network.modules() if isinstance(layer, _BatchNorm)]
        return [layer for layer in layers if layer.running_mean is not None]

    def with_moments(self, images: Tensor) -> tuple[Tensor, list[Moments], list[Moments]]:
        """Logits, and of each normalising layer its running moments and those of its input, in the order of use."""
        running: list[Moments] = []
        batch: list[Moments] = []

        def record(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(layer, _BatchNorm)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            running.append((layer.running_mean, layer.running_var))
            batch.append(channel_moments(inputs[0]))

        hooks = [layer.register_forward_pre_hook(record) for layer in self.normalising_layers()]
        try:
            return self(images), running, batch
        finally:
            for hook in hooks:
                hook.remove()

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json and model.safetensors, which ``load_classifier`` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        told = ("architecture", "image_size", "channels", "classes", "mean", "std")
        config = {name: getattr(self, name) for name in told}
        (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        save_model(self.network, str(folder / _WEIGHTS))


def load_classifier(source: str | Path, image_size: int | None = None) -> Classifier:
    """Open a classifier; safetensors only, and no code that comes with it.

    Args:
        source: a folder that ``Classifier.save_pretrained`` wrote, or one of a transformers image classifier; or
            ``torchvision:NAME:FILE``, weights of a torchvision classifier as safetensors.
        image_size: of the images, for classifiers of torchvision and transformers: convolutions take other sizes than
            those that they were trained at. As saved, or 224, if not given.

    Raises:
        MisuseError: there is no classifier, its weights are a pickle or do not fit, or it has no batch normalisation,
            from whose statistics a generator would learn.
    """
    text = str(source)
    classifier = (
        _open_torchvision(text, image_size) if text.startswith("torchvision:") else _open_folder(Path(text), image_size)
    )
    if image_size not in (None, classifier.image_size):
        raise MisuseError(
            f"{source} takes images of {classifier.image_size} px, not {image_size}: leave image_size out"
        )
    if len(classifier.classes) < 2:
        raise MisuseError(f"{source} tells {len(classifier.classes)} class: name a classifier of two or more")
    if not classifier.normalising_layers():
        raise MisuseError(
            f"{source} has no batch normalisation, whose statistics stand in for the images: name a classifier that"
            " has, such as a ResNet or a MobileNet"
        )
    return classifier


def _open_folder(folder: Path, image_size: int | None) -> Classifier:
    if not (folder / _CONFIG).is_file():
        raise MisuseError(
            f"{folder} holds no {_CONFIG}: name a folder of `recipes/evaluate.py --save_classifier` or of a"
            " transformers image classifier, or torchvision:NAME:FILE"
        )
    if not (folder / _WEIGHTS).is_file():
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        found = f"its weights as a pickle, {pickles[0]}, which could run code" if pickles else f"no {_WEIGHTS}"
        raise MisuseError(f"{folder} holds {found}: a classifier saved as {_WEIGHTS} would fit")
    try:
        check_finite(folder)
        if "model_type" in _read(folder / _CONFIG, dict[str, Any]):
            return _open_transformers(folder, image_size)
        config = _read(folder / _CONFIG, ClassifierSettings)
        network = _build(dict(config["architecture"]), len(config["classes"]))
        load_model(network, str(folder / _WEIGHTS))
        return Classifier(network, **cast(dict[str, Any], config))
    except _UNFITTING as error:
        raise _unfitting(folder, error) from error


def _read(path: Path, kind: type[T]) -> T:
    return read_json(path, kind, "restore it, or name another classifier", MisuseError)


def _build(architecture: dict[str, Any], classes: int) -> nn.Module:
    """A network without its weights."""
    if architecture["kind"] == "encoder":
        return LinearClassifier(
            Encoder(**cast(dict[str, Any], checked(architecture["encoder"], EncoderSettings))), classes
        )
    if architecture["kind"] == "torchvision":
        return torchvision.models.get_model(architecture["name"], weights=None, num_classes=classes)
    if architecture["kind"] == "transformers":
        from transformers import AutoConfig, AutoModelForImageClassification

        settings = dict(architecture["config"])
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        return _Logits(AutoModelForImageClassification.from_config(config))
    raise ValueError(f"architecture {architecture['kind']}")


def _open_torchvision(source: str, image_size: int | None) -> Classifier:
    _, name, file = [*source.split(":", 2), "", ""][:3]
    if name not in torchvision.models.list_models(torchvision.models):
        raise MisuseError(f"torchvision has no classifier called {name!r}: write torchvision:resnet18:FILE.safetensors")
    if not Path(file).is_file() or Path(file).suffix != ".safetensors":
        raise MisuseError(f"{file or 'no file'} is no safetensors file of weights: write torchvision:{name}:FILE")
    try:
        check_finite(Path(file).parent)
        weights = load_file(file)
        classes = len(weights[f"{_last_linear(torchvision.models.get_model(name, weights=None))}.weight"])
        network = torchvision.models.get_model(name, weights=None, num_classes=classes)
        network.load_state_dict(weights)
    except _UNFITTING as error:
        raise _unfitting(file, error) from error
    names = [str(number) for number in range(classes)]
    architecture = {"kind": "torchvision", "name": name}
    return Classifier(network, architecture, image_size or 224, 3, names, IMAGENET_MEAN, IMAGENET_STD)


def _last_linear(network: nn.Module) -> str:
    linear = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise ValueError("it ends in no linear layer")
    return linear[-1]


class _Logits(nn.Module):
    """A transformers classifier whose answer is its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(pixel_values=images).logits


def _open_transformers(folder: Path, image_size: int | None) -> Classifier:
    # Slow to import, and needed for these classifiers alone.
    from transformers import AutoModelForImageClassification

    try:
        model: Any = AutoModelForImageClassification.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    except _UNFITTING as error:
        raise _unfitting(folder, error) from error
    told = folder / "preprocessor_config.json"
    processor: dict[str, Any] = dict(_read(told, ImageProcessor)) if told.is_file() else {}
    channels = getattr(model.config, "num_channels", 3)
    normalised = processor.get("do_normalize", True)
    mean = processor.get("image_mean", [0.5] * channels) if normalised else [0.0] * channels
    std = processor.get("image_std", [0.5] * channels) if normalised else [1.0] * channels
    size: Any = processor.get("crop_size") or processor.get("size") or getattr(model.config, "image_size", 224)
    if isinstance(size, dict):
        size = size.get("height") or size["shortest_edge"]
    names = [model.config.id2label[number] for number in range(model.config.num_labels)]
    architecture = {"kind": "transformers", "config": json.loads(model.config.to_json_string(use_diff=False))}
    return Classifier(_Logits(model), architecture, image_size or int(size), channels, names, mean, std)


def _unfitting(source: str | Path, error: Exception) -> MisuseError:
    return MisuseError(f"{source} cannot be loaded ({shortened(str(error), 160)}): restore it, or name another")
