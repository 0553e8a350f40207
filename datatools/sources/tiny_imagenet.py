"""Tiny-ImageNet (Stanford CS231n): the official zip or the folder it unpacks to.

200 classes in sorted order of their WordNet ids, 64x64 JPEGs, some of them grey. Training images by class, then by the
number in their name; the official val split, which has labels, is the test split, by number. The official test split
has no labels and is left out.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np

from datatools.errors import DataToolsError
from datatools.records import ImageShape, file_sha256, records_per_chunk
from datatools.sources.base import Chunk, Request, Source, SourceSplit
from datatools.sources.files import archive_errors, find_under
from datatools.sources.images import decode_image

FOLDER = "tiny-imagenet-200"
ADDRESS = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SIDE = 64
MAX_TEXT_BYTES = 16 << 20
MAX_IMAGE_BYTES = 1 << 20
TRAIN_IMAGE = re.compile(r"train/(n\d{8})/images/\1_(\d{1,9})\.JPEG")
VAL_IMAGE = re.compile(r"val/images/(val_(\d{1,9})\.JPEG)")


class Tree(Protocol):
    """The files below FOLDER, by their path there."""

    def names(self) -> list[str]: ...

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file; raises DataToolsError if it is missing or larger than `limit` bytes."""


class ZipTree:
    """The official archive, read in place; nothing is extracted, so no member's path leads anywhere."""

    def __init__(self, location: Path) -> None:
        self.location = location
        with archive_errors(location):
            self._archive = zipfile.ZipFile(location)
        self._members = {
            info.filename.removeprefix(f"{FOLDER}/"): info for info in self._archive.infolist() if not info.is_dir()
        }

    def names(self) -> list[str]:
        return list(self._members)

    def read(self, name: str, limit: int) -> bytes:
        info = self._members.get(name)
        if info is None:
            raise _missing(self.location, name)
        with archive_errors(self.location / name), self._archive.open(info) as file:
            return _at_most(file.read(limit + 1), limit, self.location / name)


class FolderTree:
    """The unpacked folder."""

    def __init__(self, location: Path) -> None:
        self.location = location / FOLDER if (location / FOLDER).is_dir() else location

    def names(self) -> list[str]:
        train = self.location.glob("train/*/images/*.JPEG")
        val = self.location.glob("val/images/*.JPEG")
        return [path.relative_to(self.location).as_posix() for paths in (train, val) for path in paths]

    def read(self, name: str, limit: int) -> bytes:
        try:
            with (self.location / name).open("rb") as file:
                return _at_most(file.read(limit + 1), limit, self.location / name)
        except FileNotFoundError:
            raise _missing(self.location, name) from None


def _missing(location: Path, name: str) -> DataToolsError:
    return DataToolsError(f"{location}: no {name} in it; this is not {FOLDER}, or it is incomplete: fetch {ADDRESS}")


def _at_most(data: bytes, limit: int, origin: Path) -> bytes:
    if len(data) > limit:
        raise DataToolsError(f"{origin}: larger than the {limit:,} bytes that are expected at most; fetch {ADDRESS}")
    return data


@lru_cache(maxsize=1)
def _tree(location: Path) -> Tree:
    """The tree at `location`, opened once in each process."""
    if location.is_dir():
        return FolderTree(location)
    if location.is_file():
        return ZipTree(location)
    raise DataToolsError(f"{location}: no such file or folder; give --source {FOLDER}.zip or the unpacked folder")


@dataclass(frozen=True)
class _Images:
    """The images of one split, in order, with their labels."""

    names: tuple[str, ...]
    labels: np.ndarray


def open_tiny_imagenet(request: Request) -> Source:
    """Tiny-ImageNet from its zip or its folder, resampled to `request.size` where that is given."""
    location = request.location or find_under(request.raw, (f"{FOLDER}.zip", FOLDER), "Tiny-ImageNet", ADDRESS)
    _tree.cache_clear()  # the archive may have changed since this process read it last
    tree = _tree(location)
    classes = _classes(tree, location)
    names = tree.names()
    splits = {"train": _train(names, classes), "test": _val(tree, names, classes, location)}
    side = request.size or SIDE
    return Source(
        image_shape=ImageShape(3, side, side),
        class_names=_class_names(tree, classes),
        splits={
            split: SourceSplit(len(images.labels), partial(_chunks, location, images, request.size))
            for split, images in splits.items()
        },
        location=str(location),
        sha256=file_sha256(location) if location.is_file() else None,
    )


def _classes(tree: Tree, location: Path) -> list[str]:
    """The WordNet ids, sorted: a class's place here is its label."""
    classes = sorted(set(tree.read("wnids.txt", MAX_TEXT_BYTES).decode("ascii", "replace").split()))
    if not classes or not all(re.fullmatch(r"n\d{8}", name) for name in classes):
        raise DataToolsError(f"{location}: wnids.txt does not list WordNet ids; fetch {ADDRESS}")
    return classes


def _class_names(tree: Tree, classes: list[str]) -> tuple[str, ...]:
    """The first word for each class in words.txt; all its words where two classes share the first."""
    lines = tree.read("words.txt", MAX_TEXT_BYTES).decode("utf-8", "replace").splitlines()
    words = {wnid: text.strip() for wnid, _, text in (line.partition("\t") for line in lines)}
    full = [words.get(wnid) or wnid for wnid in classes]
    first = [text.split(",")[0] for text in full]
    return tuple(short if first.count(short) == 1 else text for short, text in zip(first, full, strict=True))


def _train(names: list[str], classes: list[str]) -> _Images:
    found = [match for name in names if (match := TRAIN_IMAGE.fullmatch(name)) and match[1] in set(classes)]
    found.sort(key=lambda match: (match[1], int(match[2])))
    labels = {wnid: label for label, wnid in enumerate(classes)}
    return _Images(tuple(match[0] for match in found), np.array([labels[match[1]] for match in found], np.int64))


def _val(tree: Tree, names: list[str], classes: list[str], location: Path) -> _Images:
    text = tree.read("val/val_annotations.txt", MAX_TEXT_BYTES).decode("ascii", "replace")
    wnids = dict(line.split("\t")[:2] for line in text.splitlines() if line.count("\t") >= 1)
    found = [match for name in names if (match := VAL_IMAGE.fullmatch(name))]
    found.sort(key=lambda match: int(match[2]))
    labels = {wnid: label for label, wnid in enumerate(classes)}
    for match in found:
        if wnids.get(match[1]) not in labels:
            raise DataToolsError(f"{location}: val_annotations.txt gives no class for {match[1]}; fetch {ADDRESS}")
    return _Images(tuple(match[0] for match in found), np.array([labels[wnids[match[1]]] for match in found], np.int64))


def _chunks(location: Path, images: _Images, size: int | None) -> Iterator[Chunk]:
    side = size or SIDE
    step = records_per_chunk(ImageShape(3, side, side))
    for start in range(0, len(images.names), step):
        names = images.names[start : start + step]
        yield Chunk(images.labels[start : start + step], partial(_decode, location, names, size))


def _decode(location: Path, names: tuple[str, ...], size: int | None) -> np.ndarray:
    """(B, 3, H, W) uint8 pixels of the named images."""
    tree = _tree(location)
    side = size or SIDE
    pixels = np.empty((len(names), 3, side, side), np.uint8)
    for number, name in enumerate(names):
        image = decode_image(tree.read(name, MAX_IMAGE_BYTES), location / name, ("JPEG",), size)
        if image.shape != pixels.shape[1:]:
            raise DataToolsError(
                f"{location / name}: {image.shape[2]}x{image.shape[1]} pixels, {SIDE}x{SIDE} expected; "
                f"pass --size {SIDE}"
            )
        pixels[number] = image
    return pixels
