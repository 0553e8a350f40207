"""A folder of images, or a zip archive of one: `<class>/**/*.png`, or `train/<class>/…` and `test/<class>/…`.

The class is the first folder; what lies deeper in it belongs to it. Images come in order of class, then of path, as
red, green and blue, turned as their EXIF orientation says. Where there is no test/, a share of each class becomes the
test split: the files whose keyed hash (BLAKE2b of the path, with a key made from the seed) is smallest. So which side a
file is on depends on the seed, its own path and, at the border, on the other files of its class, never on other ones.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from datatools.decoding.chunks import BadFile, Chunk
from datatools.decoding.formats import readable_formats
from datatools.decoding.images import Decoding, Item, UnreadableError, image_bytes, image_chunks, load_image
from datatools.decoding.pixels import FITS
from datatools.errors import DataToolsError, listed
from datatools.files.trees import ZipTree
from datatools.format.records import ImageShape
from datatools.printable import printable
from datatools.seeding import stream
from datatools.sources.bad_files import refusal
from datatools.sources.base import Request, Source, SourceSplit
from datatools.sources.class_folders import ClassFiles, find_classes, outermost
from datatools.sources.folder_listing import list_archive, list_folder

TEST_FRACTION = 0.2
MAX_IMAGE_BYTES = 256 << 20
Reader = Callable[[str], Item]
"""Gives what a decoder needs of the image with this path."""


def open_image_folder(request: Request) -> Source:
    """The images below `request.location`."""
    if request.fit is not None and request.size is None:
        raise DataToolsError(f"--fit {request.fit}: says how images are resampled to a --size; name that too")
    formats = readable_formats()
    location, archive, files, read = _look_over(request, formats)
    if files.bad and not request.skip_bad and not any(files.splits.values()):
        raise refusal(str(location), files.bad, len(files.bad))
    files.check_no_class_is_empty(location, request.skip_bad)
    splits, split_by = _split(location, files, request)
    side = request.size
    shape = ImageShape(3, side, side) if side else _first_shape(location, splits, files.bad, read, request, formats)
    decoding = Decoding(
        formats, shape, side is not None, request.fit or FITS[0], orient=True, limit=MAX_IMAGE_BYTES, collect=True
    )
    return Source(
        image_shape=shape,
        class_names=files.class_names,
        splits={
            split: SourceSplit(len(images), partial(_chunks, location, images, read, decoding))
            for split, images in splits.items()
        },
        location=str(location),
        archive=archive,
        notices=(*files.notices, *_notices(location, files, splits)),
        decodes=True,
        skips=True,
        bad=tuple(files.bad),
        keeps_names=True,
        split_by=split_by,
        fit=None if side is None else request.fit or FITS[0],
    )


def _look_over(request: Request, formats: tuple[str, ...]) -> tuple[Path, Path | None, ClassFiles, Reader]:
    """Where the class folders are, the archive or None, what is in them, and what reads it."""
    location = None if request.location is None else Path(request.location)
    if location is not None and location.is_dir():
        return location, None, find_classes(list_folder(location), location, formats), partial(_path, location)
    if location is not None and location.is_file() and location.suffix.lower() == ".zip":
        tree = ZipTree(location)
        tree.check_unpacked_size()
        listing = list_archive(tree)
        prefix = outermost(listing)
        inner = location / prefix
        files = find_classes(listing.below(prefix), inner, formats)
        return inner, location, files, partial(_member, tree, prefix)
    named = "--source" if location is None else str(request.location)
    raise DataToolsError(
        f"{named}: image-folder needs a folder of class folders, or a .zip of one; name it with --source"
    )


def _path(folder: Path, name: str) -> Item:
    return folder / name


def _member(tree: ZipTree, prefix: str, name: str) -> Item:
    try:
        return tree.encoded(prefix + name, MAX_IMAGE_BYTES)
    except DataToolsError as error:
        reason = str(error).removeprefix(f"{tree.location / (prefix + name)}: ").rpartition("; ")[0]
        return UnreadableError(reason)


def _chunks(location: Path, images: list[tuple[str, int]], read: Reader, decoding: Decoding) -> Iterator[Chunk]:
    return image_chunks(images, read, location, decoding, keep_names=True)


def _first_shape(
    location: Path,
    splits: dict[str, list[tuple[str, int]]],
    bad: list[BadFile],
    read: Reader,
    request: Request,
    formats: tuple[str, ...],
) -> ImageShape:
    """The shape of the first image that can be read: all must have it."""
    unreadable = list(bad)
    for images in splits.values():
        for name, _ in images:
            try:
                image, _ = load_image(image_bytes(read(name), MAX_IMAGE_BYTES), formats, orient=True)
                return ImageShape(3, image.height, image.width)
            except UnreadableError as error:
                unreadable.append(BadFile(printable(name), str(error)))
    if not request.skip_bad:
        raise refusal(str(location), unreadable, len(unreadable))
    raise DataToolsError(f"{location}: none of its images can be read; look at them")


def _notices(location: Path, files: ClassFiles, splits: dict[str, list[tuple[str, int]]]) -> list[str]:
    """What a user would otherwise find out in training."""
    notices = []
    if len(files.class_names) == 1:
        notices.append(f"{location}: one class only, {files.class_names[0]}: there is nothing to tell apart")
    tested = {label for _, label in splits["test"]}
    if missing := [name for label, name in enumerate(files.class_names) if label not in tested]:
        notices.append(
            f"{location}: no test image of {len(missing)} of {len(files.class_names)} classes: {listed(missing)}"
        )
    return notices


# --- splitting -------------------------------------------------------------------------------------------------------


def _split(
    location: Path, files: ClassFiles, request: Request
) -> tuple[dict[str, list[tuple[str, int]]], dict[str, float | int] | None]:
    """Draw a test split where the folder has none; (splits, what they were drawn by)."""
    if files.splits["test"]:
        if request.test_fraction is not None:
            raise DataToolsError(f"--test-fraction: {location} has a test/ of its own; leave --test-fraction out")
        return files.splits, None
    fraction = TEST_FRACTION if request.test_fraction is None else request.test_fraction
    if not 0 < fraction < 1:
        raise DataToolsError(f"--test-fraction {fraction:g}: a share above 0 and below 1 is expected")
    seed = request.seed or 0
    if not 0 <= seed < 1 << 63:
        raise DataToolsError(f"--seed {seed}: a whole number from 0 to 2**63 - 1 is expected")
    key = stream(seed, "test split").random_raw(2).tobytes()
    everything = files.splits["train"]
    classes: list[list[str]] = [[] for _ in files.class_names]
    for name, label in everything:
        classes[label].append(name)
    test: set[str] = set()
    for names in classes:
        names.sort(key=lambda name: (hashlib.blake2b(os.fsencode(name), key=key, digest_size=16).digest(), name))
        test.update(names[: _test_count(len(names), fraction)])
    if not test:
        if files.bad and not request.skip_bad:
            raise refusal(str(location), files.bad, len(files.bad) + len(everything))
        raise DataToolsError(
            f"{location}: one image a class leaves none for a test split; add images or a test/ folder"
        )
    splits = {
        "train": [item for item in everything if item[0] not in test],
        "test": [item for item in everything if item[0] in test],
    }
    return splits, {"fraction": fraction, "seed": seed}


def _test_count(images: int, fraction: float) -> int:
    """The nearest whole number, but never the whole class, and at least one image of a class that has two."""
    return max(0, min(max(1, math.floor(images * fraction + 0.5)), images - 1))
