"""How strong the views of the contrastive step are."""

from dataclasses import dataclass
from typing import Self

from synthdata.errors import MisuseError


@dataclass(frozen=True)
class ViewConfig:
    """Strengths of the random views. The defaults are the SimCLR preset for CIFAR-10 (Chen et al., 2020, appendix B.9).

    Attributes:
        crop_scale: bounds of the crop box's area, as a fraction of the image.
        crop_ratio: bounds of its width over its height, drawn log-uniformly.
        flip_probability: of a horizontal flip.
        jitter_probability: of colour jitter, which is the next four together.
        brightness: the factor is in [1 - brightness, 1 + brightness].
        contrast: likewise.
        saturation: likewise.
        hue: rotation in [-hue, hue] turns, at most half a turn.
        greyscale_probability: of dropping the colour.
        blur_probability: of a Gaussian blur; SimCLR blurs at 224 pixels, not at 32.
        blur_sigma: bounds of the blur's standard deviation in pixels.

    Raises:
        MisuseError: a value outside its range.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip_probability: float = 0.5
    jitter_probability: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    greyscale_probability: float = 0.2
    blur_probability: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        for name in ("flip_probability", "jitter_probability", "greyscale_probability", "blur_probability"):
            _require_within(name, getattr(self, name), 0, 1)
        for name in ("brightness", "contrast", "saturation"):
            _require_within(name, getattr(self, name), 0, 1)
        _require_within("hue", self.hue, 0, 0.5)
        _require_increasing("crop_scale", self.crop_scale)
        _require_within("crop_scale", self.crop_scale[1], 0, 1)
        _require_increasing("crop_ratio", self.crop_ratio)
        _require_increasing("blur_sigma", self.blur_sigma)

    @classmethod
    def simclr(cls) -> Self:
        """SimCLR's views for CIFAR-10: no blur, colour jitter at half strength (Chen et al., 2020, appendix B.9)."""
        return cls()

    @classmethod
    def weak(cls) -> Self:
        """Larger crops and jitter half as often: generated data wants weaker views (AdaInf; Wang et al., ICLR 2024)."""
        return cls(crop_scale=(0.2, 1.0), jitter_probability=0.4)


def _require_within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise MisuseError(f"view setting {name} is {value}; it must lie in [{low}, {high}]")


def _require_increasing(name: str, bounds: tuple[float, float]) -> None:
    if not 0 < bounds[0] <= bounds[1]:
        raise MisuseError(f"view setting {name} is {list(bounds)}; it must be [low, high] with 0 < low <= high")
