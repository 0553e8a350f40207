"""A folder of images, one folder a class: `<class>/*.png`, or `train/<class>/…` and `test/<class>/…`.

Images come in order of class, then of file name, as red, green and blue, turned as their EXIF orientation says. Where
there is no test/, a share of each class becomes the test split: the files whose keyed hash (BLAKE2b of the path, with a
key made from the seed) is smallest. So which side a file is on depends on the seed, its own path and, at the border, on
the other files of its class; never on other classes.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from datatools.decoding.chunks import Chunk
from datatools.decoding.images import Decoding, image_bytes, image_chunks, load_image
from datatools.errors import DataToolsError, listed
from datatools.format.records import ImageShape
from datatools.seeding import stream
from datatools.sources.base import Request, Source, SourceSplit

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP"}
PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
TEST_FRACTION = 0.2
MAX_IMAGE_BYTES = 256 << 20


class Images(NamedTuple):
    """The images found: (path below the folder, label) of each split, the class names, and what was left out."""

    splits: dict[str, list[tuple[str, int]]]
    class_names: tuple[str, ...]
    notices: tuple[str, ...]


def open_image_folder(request: Request) -> Source:
    """The images below `request.location`."""
    if request.location is None or not Path(request.location).is_dir():
        named = "--source" if request.location is None else str(request.location)
        raise DataToolsError(f"{named}: image-folder needs a folder of class folders; name it with --source")
    folder = Path(request.location)
    images, split_by = _split(folder, _find(folder, request.skip_bad), request)
    side = request.size
    shape = ImageShape(3, side, side) if side else _first_shape(folder, images, request.skip_bad)
    decoding = Decoding(
        PILLOW_FORMATS, shape, side is not None, orient=True, limit=MAX_IMAGE_BYTES, skip_bad=request.skip_bad
    )
    return Source(
        image_shape=shape,
        class_names=images.class_names,
        splits={
            split: SourceSplit(len(files), partial(_chunks, folder, files, decoding))
            for split, files in images.splits.items()
        },
        location=str(folder),
        notices=images.notices,
        decodes=True,
        skips=request.skip_bad,
        keeps_names=True,
        split_by=split_by,
    )


def _chunks(folder: Path, files: list[tuple[str, int]], decoding: Decoding) -> Iterator[Chunk]:
    return image_chunks(files, lambda name: folder / name, folder, decoding, keep_names=True)


# --- finding ---------------------------------------------------------------------------------------------------------


def _find(folder: Path, skip_bad: bool) -> Images:
    """The images below `folder`; without a test/ its "test" list is empty."""
    top = _subfolders(folder)
    if "train" not in top or not _subfolders(folder / "train"):
        if not top:
            raise DataToolsError(
                f"{folder}: no class folders in it; images belong in <class>/*.png or train/<class>/*.png"
            )
        files, notices = _class_files(folder, "", top, skip_bad)
        return Images({"train": files, "test": []}, tuple(top), tuple(notices))
    classes = _subfolders(folder / "train")
    train, notices = _class_files(folder, "train/", classes, skip_bad)
    if left := [name for name in top if name not in ("train", "test")]:
        notices.append(f"{folder}: {listed(left)} left out, only train/ and test/ are read")
    test: list[tuple[str, int]] = []
    if "test" in top:
        test_classes = _subfolders(folder / "test")
        labels = {name: number for number, name in enumerate(classes)}
        if unknown := [name for name in test_classes if name not in labels]:
            raise DataToolsError(
                f"{folder / 'test'}: classes without training images ({listed(unknown)}); remove or rename them"
            )
        if not test_classes:
            raise DataToolsError(f"{folder / 'test'}: no class folders in it; fill it, or remove it to split train/")
        test, more = _class_files(folder, "test/", test_classes, skip_bad, labels)
        notices += more
    return Images({"train": train, "test": test}, tuple(classes), tuple(notices))


def _subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones are nobody's class."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _class_files(
    folder: Path, prefix: str, classes: list[str], skip_bad: bool, labels: dict[str, int] | None = None
) -> tuple[list[tuple[str, int]], list[str]]:
    """(path, label) of the images of some classes, in order, and what was left out of their folders."""
    labels = labels or {name: number for number, name in enumerate(classes)}
    files, notices = [], []
    for name in classes:
        images_in_class = 0
        with os.scandir(folder / prefix / name) as scanned:
            entries = sorted(
                (entry for entry in scanned if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
        for entry in entries:
            path = f"{prefix}{name}/{entry.name}"
            if entry.is_file() and Path(entry.name).suffix.lower() in FORMATS:
                files.append((path, labels[name]))
                images_in_class += 1
                continue
            problem = f"{folder / path}: not an image file ({', '.join(FORMATS)})"
            if not skip_bad:
                raise DataToolsError(f"{problem}; remove it, or pass --skip-bad")
            notices.append(f"left out: {problem}")
        if not images_in_class:
            raise DataToolsError(f"{folder / prefix / name}: no images in this class folder; fill it or remove it")
    return files, notices


def _first_shape(folder: Path, images: Images, skip_bad: bool) -> ImageShape:
    """The shape of the first image that can be read: all must have it."""
    for files in images.splits.values():
        for name, _ in files:
            try:
                data = image_bytes(folder / name, MAX_IMAGE_BYTES)
                width, height = load_image(data, folder / name, PILLOW_FORMATS, orient=True).size
                return ImageShape(3, height, width)
            except DataToolsError:
                if not skip_bad:
                    raise
    raise DataToolsError(f"{folder}: none of its images can be read; look at them")


# --- splitting -------------------------------------------------------------------------------------------------------


def _split(folder: Path, images: Images, request: Request) -> tuple[Images, dict[str, float | int] | None]:
    """Draw a test split where the folder has none; (images, what it was drawn by)."""
    if images.splits["test"]:
        if request.test_fraction is not None:
            raise DataToolsError(f"--test-fraction: {folder} has a test/ of its own; leave --test-fraction out")
        return images, None
    fraction = TEST_FRACTION if request.test_fraction is None else request.test_fraction
    if not 0 < fraction < 1:
        raise DataToolsError(f"--test-fraction {fraction:g}: a share above 0 and below 1 is expected")
    seed = request.seed or 0
    if not 0 <= seed < 1 << 63:
        raise DataToolsError(f"--seed {seed}: a whole number from 0 to 2**63 - 1 is expected")
    key = stream(seed, "test split").random_raw(2).tobytes()
    classes: list[list[str]] = [[] for _ in images.class_names]
    for name, label in images.splits["train"]:
        classes[label].append(name)
    test: set[str] = set()
    for names in classes:
        names.sort(key=lambda name: (hashlib.blake2b(os.fsencode(name), key=key, digest_size=16).digest(), name))
        test.update(names[: _test_count(len(names), fraction)])
    everything = images.splits["train"]
    splits = {
        "train": [item for item in everything if item[0] not in test],
        "test": [item for item in everything if item[0] in test],
    }
    if not test:
        raise DataToolsError(f"{folder}: one image a class leaves none for a test split; add images or a test/ folder")
    return images._replace(splits=splits), {"fraction": fraction, "seed": seed}


def _test_count(images: int, fraction: float) -> int:
    """The nearest whole number, but never the whole class, and at least one image of a class that has two."""
    return min(max(1, math.floor(images * fraction + 0.5)), images - 1)
