"""Tiny-ImageNet (Stanford CS231n): the official zip or the folder it unpacks to.

200 classes in sorted order of their WordNet ids, 64x64 JPEGs, some of them grey. Training images by class, then by the
number in their name; the official val split, which has labels, is the test split, by number. The official test split
has no labels and is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from datatools.decoding.chunks import Chunk
from datatools.decoding.images import Decoding, image_chunks
from datatools.errors import DataToolsError
from datatools.files.addresses import Archive
from datatools.files.trees import Tree, ZipTree, open_tree
from datatools.format.records import ImageShape
from datatools.sources.base import Request, Source, SourceSplit
from datatools.sources.locate import locate

FOLDER = "tiny-imagenet-200"
ARCHIVE = Archive(
    f"{FOLDER}.zip",
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",
    248_100_043,
)
SIDE = 64
WNID_CHARACTERS = 9
MAX_TEXT_BYTES = 16 << 20
MAX_IMAGE_BYTES = 1 << 20
TRAIN_IMAGE = re.compile(r"train/(n\d{8})/images/\1_(\d{1,9})\.JPEG")
VAL_IMAGE = re.compile(r"val/images/(val_(\d{1,9})\.JPEG)")


class Image(NamedTuple):
    """A file of the set, below FOLDER, and its label."""

    name: str
    label: int


def open_tiny_imagenet(request: Request) -> Source:
    """Tiny-ImageNet from its zip or its folder, resampled to `request.size` where that is given."""
    location, notices = locate(request, (ARCHIVE.name, FOLDER), "Tiny-ImageNet", (ARCHIVE,))
    tree = open_tree(location, FOLDER)
    prefix = f"{FOLDER}/" if isinstance(tree, ZipTree) else ""
    classes = _classes(tree, prefix, location)
    names = [name.removeprefix(prefix) for name in tree.names()]
    splits = {"train": _train(names, classes), "test": _val(tree, prefix, names, classes, location)}
    side = request.size or SIDE
    shape = ImageShape(3, side, side)
    decoding = Decoding(("JPEG",), shape, resize=request.size is not None, limit=MAX_IMAGE_BYTES)
    return Source(
        image_shape=shape,
        class_names=_class_names(tree, prefix, classes),
        splits={
            split: SourceSplit(len(images), partial(_chunks, tree, prefix, images, decoding))
            for split, images in splits.items()
        },
        location=str(location),
        archive=location if location.is_file() else None,
        notices=notices,
        decodes=True,
    )


def _chunks(tree: Tree, prefix: str, images: list[Image], decoding: Decoding) -> Iterator[Chunk]:
    return image_chunks(
        images, lambda name: tree.encoded(prefix + name, decoding.limit), tree.location / prefix, decoding
    )


def _text(tree: Tree, name: str) -> str:
    return tree.read(name, MAX_TEXT_BYTES).decode("utf-8", "replace")


def _classes(tree: Tree, prefix: str, location: Path) -> list[str]:
    """The WordNet ids, sorted: a class's place here is its label."""
    classes = sorted(set(_text(tree, f"{prefix}wnids.txt").split()))
    if not classes or not all(re.fullmatch(r"n\d{8}", name) for name in classes):
        raise DataToolsError(f"{location}: wnids.txt does not list WordNet ids; fetch {ARCHIVE.url}")
    return classes


def _class_names(tree: Tree, prefix: str, classes: list[str]) -> tuple[str, ...]:
    """The first word for each class in words.txt; all its words where two classes share the first."""
    wanted = set(classes)
    lines = [line for line in _text(tree, f"{prefix}words.txt").splitlines() if line[:WNID_CHARACTERS] in wanted]
    words = {wnid: text.strip() for wnid, _, text in (line.partition("\t") for line in lines)}
    full = [words.get(wnid) or wnid for wnid in classes]
    first = [text.split(",")[0] for text in full]
    counts = Counter(first)
    return tuple(short if counts[short] == 1 else text for short, text in zip(first, full, strict=True))


def _train(names: list[str], classes: list[str]) -> list[Image]:
    labels = {wnid: label for label, wnid in enumerate(classes)}
    matches = [match for name in names if (match := TRAIN_IMAGE.fullmatch(name)) and match[1] in labels]
    matches.sort(key=lambda match: (match[1], int(match[2])))
    return [Image(match[0], labels[match[1]]) for match in matches]


def _val(tree: Tree, prefix: str, names: list[str], classes: list[str], location: Path) -> list[Image]:
    lines = _text(tree, f"{prefix}val/val_annotations.txt").splitlines()
    wnids = dict(line.split("\t")[:2] for line in lines if line.count("\t") >= 1)
    matches = [match for name in names if (match := VAL_IMAGE.fullmatch(name))]
    matches.sort(key=lambda match: int(match[2]))
    labels = {wnid: label for label, wnid in enumerate(classes)}
    for match in matches:
        if wnids.get(match[1]) not in labels:
            raise DataToolsError(f"{location}: val_annotations.txt gives no class for {match[1]}; fetch {ARCHIVE.url}")
    return [Image(match[0], labels[wnids[match[1]]]) for match in matches]
