"""How strong the views of the contrastive step are."""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from synthdata.ranges import Increasing, PositiveFloat, Range, UnitInterval, check_ranges

_AreaShare = Annotated[float, Range(0, 1, open_low=True)]


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
        noise_probability: of Gaussian noise on the pixels, which needs no knowledge of the images.
        noise_sigma: bounds of the noise's standard deviation, for pixels in [0, 1].

    Raises:
        MisuseError: a value outside its range.
    """

    crop_scale: Annotated[tuple[_AreaShare, _AreaShare], Increasing()] = (0.08, 1.0)
    crop_ratio: Annotated[tuple[PositiveFloat, PositiveFloat], Increasing()] = (3 / 4, 4 / 3)
    flip_probability: UnitInterval = 0.5
    jitter_probability: UnitInterval = 0.8
    brightness: UnitInterval = 0.4
    contrast: UnitInterval = 0.4
    saturation: UnitInterval = 0.4
    hue: Annotated[float, Range(0, 0.5)] = 0.1
    greyscale_probability: UnitInterval = 0.2
    blur_probability: UnitInterval = 0.0
    blur_sigma: Annotated[tuple[PositiveFloat, PositiveFloat], Increasing()] = (0.1, 2.0)
    noise_probability: UnitInterval = 0.0
    noise_sigma: Annotated[tuple[PositiveFloat, PositiveFloat], Increasing()] = (0.01, 0.3)

    def __post_init__(self) -> None:
        check_ranges(self)

    @classmethod
    def simclr(cls) -> Self:
        """SimCLR's views for CIFAR-10: no blur, colour jitter at half strength (Chen et al., 2020, appendix B.9)."""
        return cls()

    @classmethod
    def weak(cls) -> Self:
        """Larger crops and jitter half as often: generated data wants weaker views (AdaInf; Wang et al., ICLR 2024)."""
        return cls(crop_scale=(0.2, 1.0), jitter_probability=0.4)

    def noisy(self) -> Self:
        """These views with noise on eight of ten, or as they are if they have noise: what a generator has to beat."""
        return self if self.noise_probability else replace(self, noise_probability=0.8)
