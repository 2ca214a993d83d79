"""The contrastive encoder: a backbone and a projection head."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import torch
import torch.nn.functional as F
import torchvision
from huggingface_hub import PyTorchModelHubMixin
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from synthdata.errors import FailureError, MisuseError, shortened
from synthdata.formats import EncoderSettings
from synthdata.models.channels import Axis, Channels, channels_of, keep_first
from synthdata.models.resnet import SmallResNet
from synthdata.ranges import PositiveInt
from synthdata.reading import read_json

Backbone = Literal[
    "resnet8",
    "resnet14",
    "resnet18",
    "resnet50",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "vit_tiny",
]

# Up to this size the ImageNet stem (7×7, stride 2, max-pool) would leave too few positions to learn from.
SMALL_IMAGE = 64


@dataclass
class EncoderConfig:
    """The encoder's architecture.

    Attributes:
        backbone: resnet8 and resnet14 are small enough for a CPU; the others are torchvision's.
        width: channels of the first stage of resnet8 and resnet14; the others have a fixed width.
        hidden_dim: hidden units of the projection head.
        projection_dim: dimension of the embeddings.
    """

    backbone: Backbone = "resnet8"
    width: PositiveInt = 16
    hidden_dim: PositiveInt = 256
    projection_dim: PositiveInt = 64


class Encoder(nn.Module, PyTorchModelHubMixin, library_name="synthdata", tags=["contrastive-learning"]):
    """Backbone and projection head of SimCLR (Chen et al., ICML 2020).

    ``save_pretrained`` writes config.json and model.safetensors; ``from_pretrained`` reads them, from a folder or the
    Hub.

    Args:
        backbone: one of ``Backbone``.
        image_size: height and width of the images, in pixels.
        channels: 1 (greyscale) or 3 (RGB).
        width: see ``EncoderConfig``, as the two that follow.
        widths: of an encoder that was cut out of a wider one: channels that are left, by group of tied channels, as
            ``channels`` names them; all of them if not given.

    Example:
        >>> encoder = Encoder("resnet8", image_size=16, channels=1)
        >>> encoder(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 64])
    """

    def __init__(
        self,
        backbone: Backbone,
        image_size: int,
        channels: int,
        width: int = EncoderConfig.width,
        hidden_dim: int = EncoderConfig.hidden_dim,
        projection_dim: int = EncoderConfig.projection_dim,
        widths: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "backbone": backbone,
            "image_size": image_size,
            "channels": channels,
            "width": width,
            "hidden_dim": hidden_dim,
            "projection_dim": projection_dim,
        }
        """The arguments, without ``widths``."""
        self.image_size = image_size
        self.channels = channels
        self.backbone, self.feature_dim = _build_backbone(backbone, image_size, channels, width)
        if widths is not None:
            self.feature_dim = _narrow(self.backbone, widths, self.feature_dim)
        self.projection_head = nn.Sequential(
            nn.Linear(self.feature_dim, hidden_dim, bias=False),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, projection_dim),
        )

    def features(self, images: Tensor) -> Tensor:
        """The representation that downstream tasks use: images (N, C, H, W) in [−1, 1] to (N, ``feature_dim``)."""
        # Convolutions, on the CPU and in reduced precision on a GPU, are faster with the channels innermost.
        return self.backbone(images.contiguous(memory_format=torch.channels_last))

    def forward(self, images: Tensor, normalise: bool = True) -> Tensor:
        """The embedding that the contrastive loss sees: images (N, C, H, W) in [−1, 1] to (N, P), of unit norm."""
        projections = self.projection_head(self.features(images))
        return F.normalize(projections, dim=1) if normalise else projections

    def tied_channels(self) -> Channels:
        """The groups of channels that can only be removed together, and the tensors that run along them.

        Raises:
            MisuseError: the backbone has layers of which it is not known how they pass channels on.
        """
        channels = channels_of(self.backbone).prefixed("backbone")
        if channels.output is not None:
            channels.axes["projection_head.0.weight"] = [Axis(1, channels.output)]
        return channels

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """The encoder saved in a folder, or in the Hub repository OWNER/NAME, in evaluation mode.

        Raises:
            MisuseError: if there is no encoder there, or its weights are a pickle or do not fit its config.json.
            FailureError: if the Hub does not answer, or has no such repository.
        """
        source = str(pretrained_model_name_or_path)
        if (Path(source) / "config.json").is_file():  # the mixin would build whatever it says
            read_json(Path(source) / "config.json", EncoderSettings, error=MisuseError)
        try:
            encoder = super().from_pretrained(source, **kwargs)
        except HFValidationError as error:
            raise MisuseError(f"{source} is neither a folder nor a repository OWNER/NAME on the Hub") from error
        except (HfHubHTTPError, EntryNotFoundError) as error:
            raise FailureError(f"{source} is no folder, and cannot be fetched from the Hub: {error}") from error
        except (ValueError, TypeError) as error:  # a config.json of the Hub
            raise MisuseError(f"config.json of {source} is of no encoder: {shortened(str(error), 160)}") from error
        for name, weight in encoder.state_dict().items():
            if weight.is_floating_point() and not weight.isfinite().all():
                raise MisuseError(f"model.safetensors of {source} holds {name}, which is not finite: train again")
        return encoder

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **kwargs: Any) -> Self:
        folder = Path(model_id)
        for needed in ("config.json", "model.safetensors"):
            if folder.is_dir() and not (folder / needed).is_file():
                raise MisuseError(f"{folder} holds no {needed}: name the encoder/ folder of a finished run")
        try:
            # The mixin prints that it loads, which nobody asked for.
            with contextlib.redirect_stdout(io.StringIO()):
                return super()._from_pretrained(model_id=model_id, **{"strict": True} | kwargs)
        except (RuntimeError, SafetensorError) as error:
            reason = shortened(str(error), 160)
            raise MisuseError(f"the weights of {model_id} do not fit its config.json: {reason}") from error

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        raise MisuseError(f"{model_file} is a pickle, which is never loaded: publish the encoder as model.safetensors")


def _build_backbone(name: str, image_size: int, channels: int, width: int) -> tuple[nn.Module, int]:
    """The backbone without its classifier, and the dimension of its features."""
    if name in ("resnet8", "resnet14"):
        small = SmallResNet(channels, width, blocks=1 if name == "resnet8" else 2)
        return small, small.out_features
    if name in ("resnet18", "resnet50"):
        resnet = torchvision.models.get_model(name, weights=None)
        if image_size <= SMALL_IMAGE:
            resnet.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
            resnet.maxpool = nn.Identity()
        else:
            resnet.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        features = resnet.fc.in_features
        resnet.fc = nn.Identity()
        return resnet, features
    if name in ("mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"):
        # Blocks dropped at random would differ between a run and the same run resumed.
        blocks = {"stochastic_depth_prob": 0.0} if name == "efficientnet_b0" else {}
        mobile = torchvision.models.get_model(name, weights=None, **blocks)
        stem, stride = mobile.features[0], 1 if image_size <= SMALL_IMAGE else 2
        stem[0] = nn.Conv2d(channels, stem[0].out_channels, 3, stride, padding=1, bias=False)
        features = next(layer.in_features for layer in mobile.classifier if isinstance(layer, nn.Linear))
        mobile.classifier = nn.Identity()
        return mobile, features
    if name == "vit_tiny":
        patch = 4 if image_size <= SMALL_IMAGE else 16
        if image_size % patch:
            raise MisuseError(
                f"vit_tiny cuts {patch}-px patches: data.image_size {image_size} is not a multiple of {patch}"
            )
        vit = torchvision.models.VisionTransformer(
            image_size, patch, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768
        )
        vit.conv_proj = nn.Conv2d(channels, 192, patch, stride=patch)
        vit.heads = nn.Identity()
        return vit, 192
    raise MisuseError(f"no backbone is called {name!r}: choose one of {', '.join(get_args(Backbone))}")


def _narrow(backbone: nn.Module, widths: Mapping[str, int], feature_dim: int) -> int:
    """Leave ``widths`` of the channels of each group; returns the dimension of the features that are left."""
    channels = channels_of(backbone)
    if not isinstance(widths, Mapping):
        raise MisuseError(f"the widths of a cut encoder are {widths}: they must be channels by group")
    if widths.keys() != channels.sizes.keys():
        odd = sorted(widths.keys() ^ channels.sizes.keys())[0]
        raise MisuseError(f"the widths of a cut encoder do not fit its backbone: {odd} is in one of them alone")
    for group, size in channels.sizes.items():
        if not isinstance(widths[group], int) or not 1 <= widths[group] <= size:
            raise MisuseError(f"the width of {group} is {widths[group]}: it must be a whole number from 1 to {size}")
    keep_first(backbone, channels, widths)
    return feature_dim if channels.output is None else widths[channels.output]
