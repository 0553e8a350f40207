"""Encoded images -> pixels. What an image claims is checked before it is decoded."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from datatools.decoding.chunks import Chunk, Kept
from datatools.errors import DataToolsError
from datatools.files.trees import Encoded, read_file
from datatools.format.records import ImageShape

MAX_SIDE = 8192
"""Larger images are refused before they are decoded: a small file can claim gigapixels."""
MAX_JPEG_SCANS = 100
"""A progressive JPEG has about ten. Each scan goes over all pixels again, and a few bytes are enough for one."""
JPEG_MAGIC = b"\xff\xd8\xff"
JPEG_SCAN = b"\xff\xda"
JPEG_END = 0xD9
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
JPEG_WITHOUT_LENGTH = frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))
"""Markers that no segment follows: TEM, SOI, RST0 to RST7."""
CHUNK_BYTES = 2 << 20
"""Pixels, or encoded bytes, in a chunk at most: what a worker decodes at a time."""
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_SIDE is stricter, and raises


class ShapeError(DataToolsError):
    """An image that can be read, of another shape than the others: never skipped, the remedy is another."""


@dataclass(frozen=True)
class Decoding:
    """How the images of a source are decoded.

    Attributes:
        formats: Pillow's names of the formats that are expected; no other decoder is tried.
        shape: what every image must have in the end.
        resize: resample to that shape with Pillow's Lanczos filter, which takes in all source pixels when it shrinks
            (no aliasing).
        orient: turn images as their EXIF orientation says.
        limit: bytes an encoded image has at most.
        skip_bad: leave unreadable images out instead of stopping.
    """

    formats: tuple[str, ...]
    shape: ImageShape
    resize: bool = False
    orient: bool = False
    limit: int = 1 << 20
    skip_bad: bool = False


def image_chunks(
    images: Iterable[tuple[str, int]],
    encoded: Callable[[str], Encoded],
    origin: Path,
    decoding: Decoding,
    keep_names: bool = False,
) -> Iterator[Chunk]:
    """Cut the images of a split into chunks of about CHUNK_BYTES.

    Args:
        images: (name, label) of each, in order. encoded: gives what a worker needs of the named image.
        origin: the folder or archive, for messages. keep_names: pass the names on for files.csv.
    """
    most = max(1, CHUNK_BYTES // (decoding.shape.depth * decoding.shape.height * decoding.shape.width))
    names: list[str] = []
    labels: list[int] = []
    data: list[Encoded] = []
    size = 0

    def chunk() -> Chunk:
        decode = partial(decode_images, tuple(names), tuple(data), origin, decoding)
        return Chunk(np.array(labels, np.int64), decode, tuple(names) if keep_names else ())

    for name, label in images:
        item = encoded(name)
        names.append(name)
        labels.append(label)
        data.append(item)
        size += len(item) if isinstance(item, bytes) else 0
        if len(names) == most or size >= CHUNK_BYTES:
            yield chunk()
            names, labels, data, size = [], [], [], 0
    if names:
        yield chunk()


def decode_images(
    names: tuple[str, ...], data: tuple[Encoded, ...], origin: Path, decoding: Decoding
) -> np.ndarray | Kept:
    """(B, *shape) uint8 pixels of the images, or what could be read of them where unreadable ones are skipped.

    Raises:
        DataToolsError: one is not readable, or has another shape.
    """
    pixels = np.empty((len(names), *decoding.shape), np.uint8)
    kept = np.ones(len(names), bool)
    problems = []
    for number, (name, item) in enumerate(zip(names, data, strict=True)):
        try:
            pixels[number] = decode_image(image_bytes(item, decoding.limit), origin, name, decoding)
        except DataToolsError as error:
            if not decoding.skip_bad or isinstance(error, ShapeError):
                raise
            kept[number] = False
            problems.append(str(error))
    return Kept(pixels[kept], kept, tuple(problems)) if decoding.skip_bad else pixels


def image_bytes(item: Encoded, limit: int) -> bytes:
    """The content of an encoded image; raises DataToolsError if it cannot be read or is larger than `limit` bytes."""
    if isinstance(item, bytes):
        return item
    try:
        return read_file(item, limit)
    except OSError as error:
        raise DataToolsError(f"{item}: cannot be read ({error.strerror}); look at its permissions") from None


def decode_image(data: bytes, origin: Path, name: str, decoding: Decoding) -> np.ndarray:
    """(3, H, W) uint8 red, green and blue planes; grey images get three equal planes, transparency is dropped.

    Raises:
        DataToolsError: not an image of such a format, cut short, too large, or of another shape than wanted.
    """
    loaded = load_image(data, origin / name, decoding.formats, decoding.orient)
    height, width = decoding.shape[1:]
    if loaded.size != (width, height):
        if not decoding.resize:
            raise ShapeError(
                f"{origin / name}: {loaded.size[0]}x{loaded.size[1]} pixels, {width}x{height} expected; "
                f"pass --size {height} to resample all images"
            )
        loaded = loaded.resize((width, height), Image.Resampling.LANCZOS)
    # a row of red, one of green, one of blue: whole rows are copied from here on, and no single bytes
    return np.frombuffer(loaded.tobytes("raw", "RGB;L"), np.uint8).reshape(height, 3, width).transpose(1, 0, 2)


def load_image(data: bytes, origin: Path, formats: tuple[str, ...], orient: bool) -> Image.Image:
    """The decoded image in red, green and blue.

    Args:
        origin: its file, for messages. formats, orient: as in `Decoding`.

    Raises:
        DataToolsError: not an image of such a format, cut short, too large, or of too many scans.
    """
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if max(image.size) > MAX_SIDE:
                raise DataToolsError(
                    f"{origin}: {image.size[0]}x{image.size[1]} pixels, at most {MAX_SIDE}x{MAX_SIDE} are expected; "
                    "remove it or shrink it"
                )
            if data.startswith(JPEG_MAGIC) and (scans := jpeg_scans(data)) > MAX_JPEG_SCANS:
                raise ValueError(f"{scans:,} scans, at most {MAX_JPEG_SCANS} are expected")
            return _rgb(image, orient)
    except (DataToolsError, MemoryError):
        raise
    # Pillow's decoders raise nearly anything on damaged data
    except Exception as error:
        raise _unreadable(error, origin, formats) from None


def jpeg_scans(data: bytes) -> int:
    """How many scans a JPEG has, or a larger number up to MAX_JPEG_SCANS: in time that is linear in its length."""
    upper_bound = data.count(JPEG_SCAN)
    if upper_bound <= MAX_JPEG_SCANS:
        return upper_bound
    # thumbnails, comments and what follows the image may hold the same bytes: go from marker to marker
    scans = position = 0
    while (marker := JPEG_MARKER.search(data, position)) and marker[1][0] != JPEG_END:
        position = marker.end()
        if marker[1][0] not in JPEG_WITHOUT_LENGTH:
            scans += marker[1] == JPEG_SCAN[1:]
            position += int.from_bytes(data[position : position + 2], "big")
    return scans


def _rgb(image: Image.Image, orient: bool) -> Image.Image:
    """The decoded image in red, green and blue, turned as its EXIF orientation says if that is wanted."""
    if image.mode in DEEP_MODES:
        raise ValueError(f"{image.mode} pixels of more than 8 bits; convert it to 8 bits")
    if orient:
        image = ImageOps.exif_transpose(image)
    if image.mode != "RGB":
        return image.convert("RGB")
    image.load()
    return image


def _unreadable(error: Exception, origin: Path, formats: tuple[str, ...]) -> DataToolsError:
    """The one line for an image that Pillow does not read."""
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "not recognised"  # Pillow's text names an object in memory
    return DataToolsError(
        f"{origin}: not a readable {' or '.join(formats)} image ({reason}); fetch it again or remove it"
    )
