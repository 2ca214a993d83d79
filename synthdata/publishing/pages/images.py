"""Images as data URIs, no larger than a page needs."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from synthdata.errors import FailureError

LARGEST_SIDE = 128
"""Of an image in a gallery, in pixels; larger ones are shown scaled down to it."""

_FORMATS = ("PNG", "WEBP", "JPEG")
_MOST_PIXELS = 2**26


@dataclass(frozen=True)
class Picture:
    """An image within a page.

    Attributes:
        uri: its content.
        width: in pixels, as for ``height``.
    """

    uri: str
    width: int
    height: int


def picture(encoded: bytes, name: str, largest_side: int | None = LARGEST_SIDE) -> Picture:
    """An encoded image, with every pixel as it is unless it is larger than ``largest_side``.

    Args:
        name: what a person is told of an image that cannot be read.
        largest_side: in pixels; None for no limit.

    Raises:
        FailureError: it cannot be read as PNG, WebP or JPEG.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise FailureError(f"{name} has {image.width} × {image.height} pixels, too many for a page: remove it")
            if largest_side is None or max(image.size) <= largest_side:
                content = encoded if image.format == "JPEG" else min(encoded, _encoded(image, "WEBP"), key=len)
                return Picture(_uri(content), *image.size)
            image.thumbnail((largest_side, largest_side), Image.Resampling.LANCZOS)
            return Picture(_uri(min(_encoded(image, "PNG"), _encoded(image, "WEBP"), key=len)), *image.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FailureError(
            f"{name} is no readable image ({error}): `synthdata verify` tells what was altered"
        ) from error


def picture_file(path: Path, largest_side: int | None = None) -> Picture:
    """An image file, as ``picture``."""
    try:
        return picture(path.read_bytes(), str(path), largest_side)
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror}") from error


def _encoded(image: Image.Image, image_format: str) -> bytes:
    """Without loss; full opacity is left out."""
    opaque = image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)
    buffer = io.BytesIO()
    plain = image if image.mode in ("L", "RGB", "RGBA") and not opaque else image.convert("RGB")
    options = {"lossless": True, "quality": 20, "method": 2} if image_format == "WEBP" else {}
    plain.save(buffer, image_format, **options)
    return buffer.getvalue()


def _uri(encoded: bytes) -> str:
    kind = "png" if encoded.startswith(b"\x89PNG") else "webp" if encoded.startswith(b"RIFF") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
