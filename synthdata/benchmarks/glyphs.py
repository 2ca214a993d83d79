"""Greek letters in the fonts that matplotlib ships, distorted: ten classes of several shapes each, as in KMNIST."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates

LETTERS = {
    "alpha": "αΑ",
    "beta": "βΒ",
    "gamma": "γΓ",
    "delta": "δΔ",
    "zeta": "ζΖ",
    "eta": "ηΗ",
    "theta": "θΘ",
    "lambda": "λΛ",
    "xi": "ξΞ",
    "omega": "ωΩ",
}
FONTS = ("DejaVuSans*.ttf", "DejaVuSerif*.ttf", "STIXGeneral*.ttf")
SIDE = 28
_CANVAS = 56


def draw_glyphs(folder: Path, train: int, test: int, seed: int = 0) -> None:
    """Write ``folder``/train/LETTER/N.png and ``folder``/test/LETTER/N.png, greyscale of 28 × 28 pixels.

    Args:
        train: images of the training split, over all letters; likewise ``test``.
    """
    for number, (split, count) in enumerate({"train": train, "test": test}.items()):
        random = np.random.default_rng((seed, number))
        for name in LETTERS:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
        for i, (name, image) in zip(range(count), _glyphs(random), strict=False):
            image.save(folder / split / name / f"{i:05}.png")


def _glyphs(random: np.random.Generator) -> Iterator[tuple[str, Image.Image]]:
    """Letter after letter, each image with a font, a shape and a distortion of its own."""
    shipped = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = sorted(path for pattern in FONTS for path in shipped.glob(pattern) if "Display" not in path.name)
    fonts = [ImageFont.truetype(str(path), 36) for path in paths]
    while True:
        for name, shapes in LETTERS.items():
            canvas = Image.new("L", (_CANVAS, _CANVAS))
            centre = (_CANVAS // 2, _CANVAS // 2)
            shape, font = shapes[random.integers(len(shapes))], fonts[random.integers(len(fonts))]
            ImageDraw.Draw(canvas).text(centre, shape, fill=255, font=font, anchor="mm")
            yield name, Image.fromarray(_distorted(np.asarray(canvas, dtype=float), random)).resize((SIDE, SIDE))


def _distorted(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turned, sheared, scaled, moved, bent and noisy: uint8."""
    angle, shear = random.normal(0, 0.2), random.normal(0, 0.2)
    scale = np.exp(random.normal(0, 0.12, (2, 1)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * (turn @ np.array([[1, shear], [0, 1]]))
    middle = (np.array(pixels.shape) - 1)[:, None, None] / 2
    grid = np.indices(pixels.shape) - middle
    bend = np.stack([gaussian_filter(random.normal(0, 1, pixels.shape), 6) for _ in range(2)])
    places = np.tensordot(matrix, grid, 1) + middle + random.normal(0, 2, (2, 1, 1)) + 60 * bend
    moved = map_coordinates(pixels, places, order=1)
    return np.clip(moved + random.normal(0, 20, pixels.shape), 0, 255).astype(np.uint8)
