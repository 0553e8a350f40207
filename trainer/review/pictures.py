"""The picture of an item as a page shows it: a link to its file, or a shrunk copy as data in the page."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np
from PIL import Image

from datatools.decoding.images import UnreadableError, load_image
from datatools.errors import DataToolsError
from datatools.files.trees import read_file

LARGEST_SIDE = 640
"""Pictures in the page are shrunk to this many pixels a side."""
LOSSLESS_SIDE = 128
"""Up to this many pixels a side a picture is a PNG: JPEG would blur what little there is."""
JPEG_QUALITY = 82
SHOWN_BY_BROWSERS = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"})
MAX_IMAGE_BYTES = 256 << 20


def is_shown_by_browsers(path: str) -> bool:
    """Whether every browser shows files of this kind (not TIFF, HEIC; AVIF only newer ones)."""
    return PurePosixPath(path).suffix.lower() in SHOWN_BY_BROWSERS


def link(folder: Path, path: str, page: Path) -> str:
    """A relative URL from `page` to the file at `path` below `folder`; nothing in a name is anything but a name."""
    relative = Path(os.path.relpath(folder.resolve() / path, page.parent.resolve()))
    return quote(os.fsencode(relative.as_posix()), safe="/")


def data_of_file(path: Path) -> str:
    """A shrunk copy of an image file as a data URI.

    Raises:
        DataToolsError: not a readable image. OSError: as the system says.
    """
    if path.is_symlink():
        raise DataToolsError(f"{path}: a link; put the file in its place")
    formats = tuple(sorted(_formats()))
    try:
        image, _ = load_image(read_file(path, MAX_IMAGE_BYTES), formats, orient=True)
    except UnreadableError as error:
        raise DataToolsError(f"{path}: {error}") from None
    return data_of_image(image)


def data_of_pixels(pixels: np.ndarray) -> str:
    """(height, width, 1 or 3) uint8 as a data URI."""
    return data_of_image(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def data_of_image(image: Image.Image) -> str:
    """An RGB or grey image as a data URI, shrunk to LARGEST_SIDE."""
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    file = io.BytesIO()
    kind = "PNG" if max(image.size) <= LOSSLESS_SIDE else "JPEG"
    image.save(file, kind, quality=JPEG_QUALITY)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _formats() -> set[str]:
    """The formats of photos that this Pillow opens."""
    Image.init()
    return {"PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "AVIF", "HEIF"} & set(Image.OPEN)
