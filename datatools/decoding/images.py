"""Encoded images -> pixels. What an image claims is checked before it is decoded."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from datatools.decoding.chunks import BadFile, Chunk, FileFacts, Kept
from datatools.decoding.formats import format_without_decoder, register
from datatools.decoding.pixels import fitted, to_rgb
from datatools.errors import DataToolsError
from datatools.files.trees import Encoded
from datatools.format.records import ImageShape
from datatools.printable import printable

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
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_SIDE is stricter, and raises


class UnreadableError(Exception):
    """An image that cannot be read; the text is the reason, in the form of `BadFile`."""


Item = Encoded | UnreadableError
"""An image on its way to a decoder, or why it never came so far."""


@dataclass(frozen=True)
class Decoding:
    """How the images of a source are decoded.

    Attributes:
        formats: Pillow's names of the formats that are expected; no other decoder is tried.
        shape: what every image must have in the end.
        resize: resample to that shape.
        fit: how, where the proportions differ: one of `pixels.FITS`.
        orient: turn images as their EXIF orientation says.
        limit: bytes an encoded image has at most.
        collect: collect unreadable images instead of stopping at the first, and remember the file of the others.
    """

    formats: tuple[str, ...]
    shape: ImageShape
    resize: bool = False
    fit: str = "stretch"
    orient: bool = False
    limit: int = 1 << 20
    collect: bool = False


def image_chunks(
    images: Iterable[tuple[str, int]],
    encoded: Callable[[str], Item],
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
    data: list[Item] = []
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
    names: tuple[str, ...], data: tuple[Item, ...], origin: Path, decoding: Decoding
) -> np.ndarray | Kept:
    """(B, *shape) uint8 pixels of the images, or what could be read of them where unreadable ones are collected.

    Raises:
        DataToolsError: one is not readable, or has another shape. The latter is never collected: the remedy is another.
    """
    pixels = np.empty((len(names), *decoding.shape), np.uint8)
    kept = np.ones(len(names), bool)
    bad: list[BadFile] = []
    facts: list[FileFacts] = []
    for number, (name, item) in enumerate(zip(names, data, strict=True)):
        try:
            content = image_bytes(item, decoding.limit)
            pixels[number], remarks = decode_image(content, origin, name, decoding)
        except UnreadableError as error:
            if not decoding.collect:
                raise DataToolsError(f"{origin / name}: {error}; fetch it again") from None
            kept[number] = False
            bad.append(BadFile(printable(name), str(error)))
            continue
        if decoding.collect:
            facts.append(FileFacts(len(content), hashlib.sha256(content).hexdigest(), remarks))
    return Kept(pixels[kept], kept, tuple(bad), tuple(facts)) if decoding.collect else pixels


def image_bytes(item: Item, limit: int) -> bytes:
    """The content of an encoded image; raises UnreadableError if it cannot be read or is larger than `limit` bytes."""
    if isinstance(item, UnreadableError):
        raise item
    if isinstance(item, bytes):
        return item
    try:
        with item.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UnreadableError(f"cannot be opened ({error.strerror})") from None
    if len(data) > limit:
        raise UnreadableError(f"larger than the {limit:,} bytes that are expected at most")
    return data


def decode_image(data: bytes, origin: Path, name: str, decoding: Decoding) -> tuple[np.ndarray, tuple[str, ...]]:
    """(3, H, W) uint8 red, green and blue planes, and what was done to the image, keys of `pixels.REMARKS`.

    Raises:
        UnreadableError: as `load_image` raises it.
        DataToolsError: it has another shape than wanted.
    """
    loaded, remarks = load_image(data, decoding.formats, decoding.orient)
    height, width = decoding.shape[1:]
    if decoding.resize and loaded.width != loaded.height:
        remarks = (*remarks, "not_square")
    if loaded.size != (width, height):
        if not decoding.resize:
            raise DataToolsError(
                f"{origin / name}: {loaded.size[0]}x{loaded.size[1]} pixels, {width}x{height} expected; "
                f"pass --size {height} to resample all images"
            )
        loaded = fitted(loaded, width, height, decoding.fit)
    # a row of red, one of green, one of blue: whole rows are copied from here on, and no single bytes
    planes = np.frombuffer(loaded.tobytes("raw", "RGB;L"), np.uint8).reshape(height, 3, width).transpose(1, 0, 2)
    return planes, remarks


def load_image(data: bytes, formats: tuple[str, ...], orient: bool) -> tuple[Image.Image, tuple[str, ...]]:
    """The decoded image in red, green and blue, and what was done to it, keys of `pixels.REMARKS`.

    Args:
        formats, orient: as in `Decoding`.

    Raises:
        UnreadableError: not an image of such a format, cut short, too large, of too many scans, or of no known range.
    """
    register(formats)
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if max(image.size) > MAX_SIDE:
                raise UnreadableError(
                    f"too large ({image.size[0]}x{image.size[1]} pixels, at most {MAX_SIDE}x{MAX_SIDE} are expected)"
                )
            if data.startswith(JPEG_MAGIC) and (scans := jpeg_scans(data)) > MAX_JPEG_SCANS:
                raise ValueError(f"{scans:,} scans, at most {MAX_JPEG_SCANS} are expected")
            return to_rgb(image, orient)
    except (UnreadableError, MemoryError):
        raise
    # Pillow's decoders raise nearly anything on damaged data
    except Exception as error:
        raise UnreadableError(_reason(error, data, formats)) from None


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


def _reason(error: Exception, data: bytes, formats: tuple[str, ...]) -> str:
    """Why Pillow does not read an image."""
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        if missing := format_without_decoder(data, formats):
            return missing
        reason = "empty" if not data else "not recognised"  # Pillow's text names an object in memory
    kind = f"{formats[0]} image" if len(formats) == 1 else "image"
    return f"not a readable {kind} ({reason})"
