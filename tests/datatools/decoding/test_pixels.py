"""Every kind of image becomes red, green and blue as it should, and what was done to it is told."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datatools.decoding.formats import readable_formats
from datatools.decoding.images import UnreadableError, load_image
from datatools.decoding.pixels import FITS, fitted

RNG = np.random.default_rng(1)
COLOURS = RNG.integers(0, 256, (6, 8, 3), np.uint8)


def encoded(image: Image.Image, kind: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def decoded(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    image, remarks = load_image(data, readable_formats(), orient=True)
    assert image.mode == "RGB"
    return np.asarray(image), remarks


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_a_plain_image_comes_back_as_it_is_without_remark(kind: str) -> None:
    flat = np.full((6, 8, 3), (10, 200, 30), np.uint8)
    pixels, remarks = decoded(encoded(Image.fromarray(flat), kind))
    np.testing.assert_array_equal(pixels, flat)
    assert remarks == ()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 6), (value, value, value)) for value in (255, 128, 0)]
    more = {"lossless": True} if kind == "WEBP" else {}
    pixels, remarks = decoded(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **more))
    assert pixels.min() == 255
    assert "first_frame" in remarks


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_sixteen_grey_bits_the_upper_eight_are_kept(kind: str) -> None:
    values = RNG.integers(0, 1 << 16, (6, 8), np.uint16)
    pixels, remarks = decoded(encoded(Image.fromarray(values), kind))
    np.testing.assert_array_equal(pixels, np.repeat((values // 256)[..., np.newaxis], 3, axis=2))
    assert remarks == ("sixteen_bits", "grey")


def test_of_sixteen_bits_of_colour_too() -> None:
    values = RNG.integers(0, 1 << 16, (6, 8, 3), np.uint16)
    pixels, remarks = decoded(colour_png(values))
    np.testing.assert_array_equal(pixels, values // 256)
    assert remarks == ("sixteen_bits",)


def colour_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, by hand: Pillow writes none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.fromarray(np.full((6, 8), 4_095, np.uint16)), "none above 4,095"),
        (Image.fromarray(np.full((6, 8), 70_000, np.int32)), "32 bits"),
        (Image.fromarray(np.full((6, 8), 0.5, np.float32)), "32 bits"),
    ],
)
def test_values_of_no_known_range_are_refused(image: Image.Image, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        decoded(encoded(image, "TIFF"))


def test_cmyk_is_converted_and_said() -> None:
    pixels, remarks = decoded(encoded(Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "TIFF"))
    assert set(map(tuple, pixels.reshape(-1, 3).tolist())) == {(255, 0, 0)}
    assert remarks == ("cmyk",)


def laid_on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., np.newaxis] / 255
    return np.asarray(colours * share + 255 * (1 - share))


def test_transparency_is_laid_on_white() -> None:
    alpha = RNG.integers(0, 256, (6, 8), np.uint8)
    pixels, remarks = decoded(encoded(Image.fromarray(np.dstack([COLOURS, alpha])), "PNG"))
    assert np.abs(pixels - laid_on_white(COLOURS, alpha)).max() <= 1
    assert remarks == ("transparent",)


def test_an_opaque_alpha_changes_nothing() -> None:
    opaque = np.full((6, 8), 255, np.uint8)
    pixels, remarks = decoded(encoded(Image.fromarray(np.dstack([COLOURS, opaque])), "PNG"))
    np.testing.assert_array_equal(pixels, COLOURS)
    assert remarks == ()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(kind: str) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    image.putpalette([9, 8, 7, 200, 100, 50])
    pixels, remarks = decoded(encoded(image, kind, transparency=0))
    assert pixels.tolist() == [[[255] * 3, [200, 100, 50]], [[200, 100, 50], [255] * 3]]
    assert remarks == ("transparent",)


@pytest.mark.parametrize(("mode", "colour"), [("1", 1), ("L", 77), ("LA", (77, 255))])
def test_grey_becomes_three_equal_planes(mode: str, colour: Any) -> None:
    pixels, remarks = decoded(encoded(Image.new(mode, (8, 6), colour), "PNG"))
    assert set(pixels.ravel().tolist()) == {255 if mode == "1" else 77}
    assert remarks == ("grey",)


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: image.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_every_format_is_turned_once_and_said(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"lossless": True} if kind == "WEBP" else {}
    pixels, remarks = decoded(encoded(Image.fromarray(COLOURS), kind, exif=exif, **more))
    np.testing.assert_array_equal(pixels, UPRIGHT[orientation](COLOURS))
    assert remarks == ("turned",)


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_an_orientation_that_says_nothing_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, remarks = decoded(encoded(Image.fromarray(COLOURS), "PNG", exif=exif))
    np.testing.assert_array_equal(pixels, COLOURS)
    assert remarks == ()


# --- to one shape ----------------------------------------------------------------------------------------------------


def image_of(height: int, width: int) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("side", [7, 20, 31])
def test_a_square_image_is_the_same_however_it_is_fitted(side: int) -> None:
    image = image_of(20, 20)
    plain = np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))
    for fit in FITS:
        np.testing.assert_array_equal(np.asarray(fitted(image, side, side, fit)), plain)


@pytest.mark.parametrize(("height", "width"), [(30, 50), (30, 41), (50, 30)])
def test_a_crop_that_keeps_the_scale_is_the_middle_itself(height: int, width: int) -> None:
    image = image_of(height, width)
    top, left = (height - 30) // 2, (width - 30) // 2
    expected = np.asarray(image)[top : top + 30, left : left + 30]
    np.testing.assert_array_equal(np.asarray(fitted(image, 30, 30, "crop")), expected)


def test_a_crop_is_the_middle_of_the_whole_image_resampled() -> None:
    image = image_of(40, 80)
    whole = np.asarray(image.resize((40, 20), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(np.asarray(fitted(image, 20, 20, "crop")), whole[:, 10:30])


def test_padding_keeps_the_whole_image_between_black_bars() -> None:
    image = image_of(80, 40)
    pixels = np.asarray(fitted(image, 20, 20, "pad"))
    whole = np.asarray(image.resize((10, 20), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(pixels[:, 5:15], whole)
    assert pixels[:, :5].max() == pixels[:, 15:].max() == 0


def test_stretching_takes_all_of_the_image() -> None:
    image = image_of(40, 80)
    expected = np.asarray(image.resize((20, 20), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(np.asarray(fitted(image, 20, 20, "stretch")), expected)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(1, 800), (800, 1)])
def test_a_line_of_pixels_can_be_fitted(fit: str, size: tuple[int, int]) -> None:
    assert fitted(image_of(*size), 16, 16, fit).size == (16, 16)
