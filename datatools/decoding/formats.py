"""Which image formats are read, by which file names, and what to install where a decoder is missing.

HEIC, as iPhones write it, needs the package pillow-heif, which is never required. AVIF is in Pillow since 11.3.
"""

from __future__ import annotations

import functools
from importlib import import_module

from PIL import Image, features

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
"""Pillow's name of the format of a file that is named so; its content decides in the end."""
REMEDIES = {
    "WEBP": "WebP without a decoder (install a Pillow that has WebP)",
    "AVIF": "AVIF without a decoder (pip install 'pillow>=11.3')",
    "HEIF": "HEIC without a decoder (pip install pillow-heif)",
}
HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
"""ISO/IEC 23008-12; AVIF files may name mif1 too, and have their decoder asked first."""
AVIF_BRANDS = frozenset((b"avif", b"avis"))


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that can be decoded here."""
    return tuple(name for name in dict.fromkeys(SUFFIXES.values()) if _is_readable(name))


def register(formats: tuple[str, ...]) -> None:
    """Make Pillow know the decoders of `formats` that are not its own, in this process."""
    if "HEIF" in formats and "HEIF" not in Image.OPEN:
        _heif().register_heif_opener()


def missing_decoder(name: str, formats: tuple[str, ...]) -> str | None:
    """Why files of Pillow's format `name` cannot be read, and what to install; None where they can."""
    return None if name in formats else REMEDIES[name]


def format_without_decoder(data: bytes, formats: tuple[str, ...]) -> str | None:
    """The same for the content of a file that is not recognised, whatever its name."""
    name = "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
    if data[4:8] == b"ftyp":
        name = "AVIF" if data[8:12] in AVIF_BRANDS else "HEIF" if data[8:12] in HEIF_BRANDS else None
    return name and missing_decoder(name, formats)


def _is_readable(name: str) -> bool:
    if name == "HEIF":
        try:
            _heif()
        except ImportError:
            return False
        return True
    try:
        return name not in REMEDIES or bool(features.check_module(name.lower()))
    except ValueError:  # a Pillow that has never heard of it
        return False


def _heif():  # type: ignore[no-untyped-def]  # not installed everywhere, and without types
    return import_module("pillow_heif")
