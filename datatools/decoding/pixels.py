"""A decoded image of any kind -> red, green and blue, and one shape; what was done is told."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

REMARKS = {
    "turned": "turned as their EXIF orientation says",
    "first_frame": "of several frames or pages (the first is taken)",
    "sixteen_bits": "of 16 bits a channel (the upper 8 are kept)",
    "cmyk": "of CMYK (converted without their colour profile)",
    "transparent": "with transparency (laid on white)",
    "grey": "grey (three equal planes)",
    "not_square": "not square",
}
"""What may be done to an image, and how it is said behind "images"."""
FITTED = {
    "crop": "cut to the square in their middle (--fit crop; pad and stretch keep the edges)",
    "pad": "padded with black bars (--fit pad)",
    "stretch": "stretched, which distorts them (--fit stretch; crop and pad do not)",
}
FITS = tuple(FITTED)
"""How an image that is not square becomes so; the first is the default."""
ORIENTATION = 0x0112
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
LEAST_SIXTEEN_BIT_MAXIMUM = 4096 >> 8
"""Values of 16 bits that all stay below 4,096 are most likely of 12 bits or fewer: their white is unknown."""
FRAME_FORMATS = ("GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF")
"""Formats whose files may be animations or have pages. A JPEG's further images are previews of the first."""


def to_rgb(image: Image.Image, orient: bool) -> tuple[Image.Image, tuple[str, ...]]:
    """An opened image in red, green and blue, and what was done to it, keys of REMARKS.

    Args:
        orient: turn it as its EXIF orientation says.

    Raises:
        ValueError: its values have no known range; and whatever Pillow raises on damaged data.
    """
    remarks = ["first_frame"] if image.format in FRAME_FORMATS and getattr(image, "is_animated", False) else []
    # both are known for certain only before the pixels are loaded: a TIFF turns itself then
    sixteen_bits = _has_sixteen_bits(image)
    turned = orient and _orientation(image) != 1
    image.load()
    if orient and _orientation(image) != 1:  # a PNG may say so behind its pixels
        image, turned = ImageOps.exif_transpose(image), True
    if sixteen_bits:
        image = _upper_bits(image)
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a channel, whose range is unknown; convert it to 8 bits")
    grey, cmyk = image.mode in ("1", "L", "LA", "La"), image.mode == "CMYK"
    image, transparent = _opaque(image)
    done = {"turned": turned, "sixteen_bits": sixteen_bits, "cmyk": cmyk, "transparent": transparent, "grey": grey}
    return image, (*remarks, *(remark for remark, applies in done.items() if applies))


def fitted(image: Image.Image, width: int, height: int, fit: str) -> Image.Image:
    """The image resampled to width x height with Pillow's Lanczos filter, which does not alias when it shrinks.

    Args:
        fit: where the proportions differ, "crop" takes the largest part in the middle that has the new ones, "pad"
            the whole image with black bars, "stretch" the whole image distorted.
    """
    if fit == "stretch" or image.width * height == image.height * width:
        return image.resize((width, height), Image.Resampling.LANCZOS)
    if fit == "crop":
        scale = min(image.width / width, image.height / height)
        # half a pixel would blur an image that keeps its scale
        left, top = (image.width - width * scale) // 2, (image.height - height * scale) // 2
        box = (left, top, left + width * scale, top + height * scale)
        return image.resize((width, height), Image.Resampling.LANCZOS, box)
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    padded = Image.new("RGB", (width, height))
    place = ((width - size[0]) // 2, (height - size[1]) // 2)
    padded.paste(image.resize(size, Image.Resampling.LANCZOS), place)
    return padded


def _orientation(image: Image.Image) -> int:
    """1 to 8; 1 where the image says nothing, or nothing that is defined."""
    orientation = image.getexif().get(ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def _has_sixteen_bits(image: Image.Image) -> bool:
    """Whether a channel has 16 bits: Pillow keeps them of grey images alone, and says for others how it reads them."""
    if image.mode in SIXTEEN_BITS or (image.mode == "I" and image.format == "PNG"):
        return True
    if image.mode in ("I", "F"):
        return False
    arguments = [tile[3] for tile in getattr(image, "tile", ())]
    raw_modes = [each[0] if isinstance(each, tuple) and each else each for each in arguments]
    return any(isinstance(raw_mode, str) and ";16" in raw_mode for raw_mode in raw_modes)


def _upper_bits(image: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits, which Pillow itself takes of colour images."""
    if image.mode in SIXTEEN_BITS or image.mode == "I":
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    colours = image.convert("RGB") if image.mode not in ("L", "RGB") else image
    if np.asarray(colours).max() < LEAST_SIXTEEN_BIT_MAXIMUM:
        raise ValueError("16 bits a channel, none above 4,095, so that their range is unclear; convert it to 8 bits")
    return image


def _opaque(image: Image.Image) -> tuple[Image.Image, bool]:
    """The image in RGB, laid on white where it is transparent; and whether it is."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return (image if image.mode == "RGB" else image.convert("RGB")), False
    rgba = image.convert("RGBA") if image.mode != "La" else image.convert("LA").convert("RGBA")
    if rgba.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB"), False
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"), True
