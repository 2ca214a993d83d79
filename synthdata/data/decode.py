"""Encoded images (files, bytes, arrays) to square uint8 arrays of one size and channel count."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from synthdata.paths import open_regular

Encoded = bytes | str | np.ndarray
"""One undecoded image: a file's bytes, a file's path, or a uint8 array (H, W) or (H, W, C)."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""What Pillow may decode, whatever a file is called: it hands others, such as EPS, to programs of the machine."""

MAX_PIXELS = 89_478_485
"""Images with more pixels than this are refused: Pillow's own threshold for a decompression bomb (256 MiB as RGB)."""

_TINY_PIXELS = 64 * 64
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
_GREYSCALE_MODES = _SIXTEEN_BIT_MODES | {"1", "L", "LA", "La", "F"}


class UnreadableImageError(Exception):
    """This one image cannot be decoded; the message is the reason. Callers leave the image out or replace it."""


@dataclass(frozen=True)
class PixelFormat:
    """What images are decoded to: ``channels`` (1 or 3) and ``image_size`` in pixels, square."""

    channels: int
    image_size: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.image_size, self.image_size

    @property
    def bytes_per_image(self) -> int:
        return self.channels * self.image_size**2


def decode(encoded: Encoded, pixel_format: PixelFormat) -> np.ndarray:
    """Decode one image, turn it upright (EXIF), crop its central square and resize it (antialiased bicubic).

    Transparency is laid over white, 16-bit greyscale is scaled to 8 bits, and CMYK and palettes become RGB.

    Returns:
        (C, H, W) uint8.

    Raises:
        UnreadableImageError: the bytes are no image, or a damaged or too large one.
    """
    size = pixel_format.image_size
    try:
        with _open(encoded) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImageError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
            # Lets the JPEG decoder skip resolution that the resize would throw away; other formats ignore it.
            image.draft(None, (2 * size, 2 * size))
            ImageOps.exif_transpose(image, in_place=True)
            square = _with_channels(_central_square(image), pixel_format.channels)
            resized = square.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
            return _to_array(resized, pixel_format)
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow's decoders raise almost any type on damaged files
        raise UnreadableImageError(_reason(error)) from error


def decode_exact(encoded: Encoded, pixel_format: PixelFormat) -> np.ndarray:
    """Decode an image that already is square and of the right size; faster than `decode`, and refuses others.

    Returns:
        (C, H, W) uint8.

    Raises:
        UnreadableImageError: the bytes are no image, a damaged one, or one of another size.
    """
    size = pixel_format.image_size
    try:
        with _open(encoded) as image:
            if image.size != (size, size):
                raise UnreadableImageError(f"an image of {image.width} x {image.height} px among those of {size} px")
            return _to_array(image, pixel_format)
    except UnreadableImageError:
        raise
    except Exception as error:  # as in `decode`
        raise UnreadableImageError(_reason(error)) from error


def is_greyscale(encoded: Encoded) -> bool:
    """Whether the image has no colour channels, from its header alone.

    Raises:
        UnreadableImageError: the bytes are no image.
    """
    try:
        with _open(encoded) as image:
            return image.mode in _GREYSCALE_MODES
    except Exception as error:  # as in `decode`
        raise UnreadableImageError(_reason(error)) from error


def shorter_side(encoded: Encoded) -> int:
    """The smaller of width and height in pixels, from the image's header alone.

    Raises:
        UnreadableImageError: the bytes are no image.
    """
    try:
        with _open(encoded) as image:
            return min(image.width, image.height)
    except Exception as error:  # as in `decode`
        raise UnreadableImageError(_reason(error)) from error


def is_tiny(encoded: Encoded) -> bool:
    """Whether the image has too few pixels for decoding in threads to pay off, from its header alone.

    Pillow releases the interpreter lock while it decodes and resizes, but with small images two threads are slower than
    one, because they mostly pass the lock to each other.

    Raises:
        UnreadableImageError: the bytes are no image.
    """
    try:
        with _open(encoded) as image:
            return image.width * image.height <= _TINY_PIXELS
    except Exception as error:  # as in `decode`
        raise UnreadableImageError(_reason(error)) from error


@contextlib.contextmanager
def no_pillow_warnings() -> Iterator[None]:
    """Silence Pillow on large and damaged images, which `decode` tells in its own words. For the main thread only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextlib.contextmanager
def _open(encoded: Encoded) -> Iterator[Image.Image]:
    if isinstance(encoded, np.ndarray):
        yield Image.fromarray(encoded.squeeze(-1) if encoded.shape[2:] == (1,) else encoded)
        return
    with io.BytesIO(encoded) if isinstance(encoded, bytes) else open_regular(encoded) as file:
        yield Image.open(file, formats=FORMATS)


def _central_square(image: Image.Image) -> Image.Image:
    if image.width == image.height:
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _with_channels(image: Image.Image, channels: int) -> Image.Image:
    """In a mode that resizes well: L, RGB, or RGBA while there is transparency to lay over a background."""
    if image.mode in _SIXTEEN_BIT_MODES:
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("L" if channels == 1 else "RGB")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if channels == 1 else "RGB")


def _to_array(image: Image.Image, pixel_format: PixelFormat) -> np.ndarray:
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    array = np.asarray(image.convert("L" if pixel_format.channels == 1 else "RGB"))
    return array.reshape(*array.shape[:2], pixel_format.channels).transpose(2, 0, 1)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image, or of a kind other than {', '.join(FORMATS)}"
    return str(error) or type(error).__name__
