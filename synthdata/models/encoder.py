"""The contrastive encoder: a backbone and a projection head."""

import contextlib
import io
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
from synthdata.models.resnet import SmallResNet
from synthdata.ranges import PositiveInt
from synthdata.reading import read_json

Backbone = Literal["resnet8", "resnet14", "resnet18", "resnet50", "mobilenet_v3_small", "vit_tiny"]

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
        width: see ``EncoderConfig``, as the remaining arguments.

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
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.channels = channels
        self.backbone, self.feature_dim = _build_backbone(backbone, image_size, channels, width)
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

    def forward(self, images: Tensor) -> Tensor:
        """The embedding that the contrastive loss sees: images (N, C, H, W) in [−1, 1] to unit-norm (N, P)."""
        return F.normalize(self.projection_head(self.features(images)), dim=1)

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
    if name == "mobilenet_v3_small":
        mobilenet = torchvision.models.mobilenet_v3_small(weights=None)
        stride = 1 if image_size <= SMALL_IMAGE else 2
        mobilenet.features[0][0] = nn.Conv2d(channels, 16, 3, stride, padding=1, bias=False)
        features = mobilenet.classifier[0].in_features
        mobilenet.classifier = nn.Identity()
        return mobilenet, features
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
