"""Encoded images -> pixels. What an image claims is checked before it is decoded."""

from __future__ import annotations

import io
from pathlib import PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError

from datatools.errors import DataToolsError

MAX_SIDE = 8192
"""Larger images are refused before they are decoded: a small file can claim gigapixels."""


def decode_image(data: bytes, origin: PurePath, formats: tuple[str, ...], size: int | None) -> np.ndarray:
    """(3, H, W) uint8 red, green and blue planes; grey images get three equal planes.

    Args:
        formats: Pillow's names of the formats that are expected; no other decoder is tried.
        size: resample to size x size with Pillow's Lanczos filter, which takes in all source pixels when it shrinks
            (no aliasing); None keeps the size.

    Raises:
        DataToolsError: not an image of such a format, cut short, or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if max(image.size) > MAX_SIDE:
                raise DataToolsError(
                    f"{origin}: {image.size[0]}x{image.size[1]} pixels, at most {MAX_SIDE}x{MAX_SIDE} are expected; "
                    "remove it or shrink it"
                )
            pixels = image.convert("RGB")
    # Pillow's decoders raise nearly anything on damaged data
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        IndexError,
        Image.DecompressionBombError,
    ) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataToolsError(
            f"{origin}: not a readable {' or '.join(formats)} image ({reason}); fetch it again"
        ) from None
    if size is not None and pixels.size != (size, size):
        pixels = pixels.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(pixels, np.uint8).transpose(2, 0, 1)
