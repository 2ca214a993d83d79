import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from synthdata.data.decode import MAX_PIXELS, PixelFormat, UnreadableImageError, decode, is_greyscale


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header names a size that its few bytes do not hold."""
    small = encoded(Image.new("RGB", (1, 1)))
    header = struct.pack(">II", width, height) + small[24:29]
    checksum = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return small[:16] + header + checksum + small[33:]


def test_pixels_of_the_right_size_are_kept_exactly():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(decode(encoded(Image.fromarray(pixels)), PixelFormat(3, 16)), pixels.transpose(2, 0, 1))
    assert np.array_equal(decode(pixels, PixelFormat(3, 16)), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("upright", [False, True])
def test_the_central_square_is_kept_of_a_long_image(upright: bool):
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = (0, 200, 0)
    image = Image.fromarray(pixels.transpose(1, 0, 2) if upright else pixels)
    assert (decode(encoded(image), PixelFormat(3, 5)) == np.array([0, 200, 0])[:, None, None]).all()


def test_downsizing_averages_instead_of_dropping_pixels():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    shrunk = decode(encoded(Image.fromarray(stripes)), PixelFormat(1, 8)).astype(int)
    assert abs(shrunk - 127).max() <= 8


def test_cmyk_becomes_rgb():
    cyan = decode(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95), PixelFormat(3, 4))
    assert abs(cyan.astype(int) - np.array([0, 255, 255])[:, None, None]).max() < 12


def test_palette_becomes_its_colours():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 120, 230])
    assert (decode(encoded(image), PixelFormat(3, 4)) == np.array([10, 120, 230])[:, None, None]).all()


def test_sixteen_bit_greyscale_is_scaled_to_eight_bits():
    wide = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    assert np.array_equal(decode(encoded(Image.fromarray(wide)), PixelFormat(1, 16))[0], np.arange(256).reshape(16, 16))


def test_transparency_is_laid_over_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("LA", (4, 4), (0, 128))
    assert (decode(encoded(clear), PixelFormat(3, 4)) == 255).all()
    assert (decode(encoded(half), PixelFormat(1, 4)) == 127).all()


def test_a_transparent_palette_colour_is_laid_over_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 0, 0])
    assert (decode(encoded(image, transparency=0), PixelFormat(3, 4)) == 255).all()


def test_exif_orientation_turns_the_image_upright():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored with its top at the right: a quarter turn clockwise shows it upright
    stored = encoded(Image.fromarray(pixels), exif=exif)
    assert np.array_equal(decode(stored, PixelFormat(3, 6)), np.rot90(pixels, -1).transpose(2, 0, 1))


def test_a_single_pixel_fills_the_image():
    assert (decode(encoded(Image.new("RGB", (1, 1), (1, 2, 3))), PixelFormat(3, 8))[:, 4, 4] == [1, 2, 3]).all()


def test_a_20000_pixel_wide_image_is_decoded():
    wide = Image.new("RGB", (20_000, 40), (9, 9, 9))
    assert (decode(encoded(wide, "JPEG"), PixelFormat(3, 16)) == 9).all()
    assert (decode(encoded(wide), PixelFormat(3, 16)) == 9).all()


def test_a_large_jpeg_shrinks_as_pillow_shrinks_it():
    x, y = np.meshgrid(np.linspace(0, 255, 1024), np.linspace(0, 255, 1024))
    image = Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8))
    expected = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC)).astype(int).transpose(2, 0, 1)
    assert abs(decode(encoded(image, "JPEG", quality=95), PixelFormat(3, 16)) - expected).max() <= 4


def test_greyscale_files_become_rgb_where_the_set_has_colour():
    assert decode(encoded(Image.new("L", (4, 4), 77)), PixelFormat(3, 4)).tolist() == np.full((3, 4, 4), 77).tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello, this is text", "not an image"),
        (b"", "not an image"),
        (png_that_claims(20_000, 20_000), "decompression bomb"),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:1500], "truncated"),
        (png_that_claims(30, 30), "truncated"),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_the_reason(content: bytes, reason: str):
    with pytest.raises(UnreadableImageError, match=reason):
        decode(content, PixelFormat(3, 8))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_beyond_the_pixel_limit_are_refused_before_they_take_memory():
    with pytest.raises(UnreadableImageError, match="pixels are more than"):
        decode(png_that_claims(20_000, MAX_PIXELS // 20_000 + 1), PixelFormat(3, 8))


@pytest.mark.parametrize(
    ("mode", "grey"), [("1", True), ("L", True), ("I;16", True), ("LA", True), ("RGB", False), ("P", False)]
)
def test_greyscale_is_told_from_the_mode(mode: str, grey: bool):
    assert is_greyscale(encoded(Image.new(mode, (2, 2)))) is grey
