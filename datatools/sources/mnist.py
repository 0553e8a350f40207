"""MNIST (LeCun, Cortes & Burges): a folder with the four idx files, gzipped or not.

idx: a big-endian header (two zero bytes, a type byte, the number of dimensions, then each dimension as four
bytes) and the numbers, row by row. http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from datatools.decoding.chunks import Chunk
from datatools.errors import DataToolsError
from datatools.files.addresses import Archive, is_url
from datatools.files.archives import archive_errors
from datatools.format.records import ImageShape, records_per_chunk
from datatools.sources.base import Request, Source, SourceSplit
from datatools.sources.locate import Located, fetch

ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist/"
ARCHIVES = tuple(
    Archive(name, ADDRESS + name, md5, size, sha256)
    for name, md5, size, sha256 in (
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422, None),
        (
            "train-labels-idx1-ubyte.gz",
            "d53e105ee54ea40749a09fcbcd1e9432",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            "9fb629c4189551a2d022fa330f9573f3",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            "ec29112dd5afa0611ce80d1b7f02629c",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    )
)
RAW_FOLDERS = ("mnist", "MNIST/raw")
UINT8 = 0x08
NUM_CLASSES = 10
PREFIXES = {"train": "train", "test": "t10k"}
MAX_RECORDS = 10_000_000
MAX_PIXELS = 1 << 33
"""In all images of a file; MNIST has 47 million."""


def open_mnist(request: Request) -> Source:
    """MNIST, or another set in its files (Fashion-MNIST has the same), from a folder."""
    folder, notices = _locate(request)
    if not folder.is_dir():
        raise DataToolsError(f"{folder}: no such folder; give --source the folder with MNIST's four idx files")
    splits, shapes = {}, set()
    for split, prefix in PREFIXES.items():
        images = _find(folder, f"{prefix}-images", "idx3-ubyte")
        labels = _read_labels(_find(folder, f"{prefix}-labels", "idx1-ubyte"))
        with _open_idx(images, 3) as (_, (records, height, width)):
            if records != len(labels):
                raise DataToolsError(
                    f"{images}: {records:,} images, its label file has {len(labels):,} labels; fetch both again"
                )
            shapes.add(ImageShape(1, height, width))
        splits[split] = SourceSplit(len(labels), partial(_chunks, images, labels))
    if len(shapes) != 1:
        raise DataToolsError(f"{folder}: training and test images differ in size; fetch the set again")
    return Source(
        image_shape=shapes.pop(),
        class_names=tuple(str(digit) for digit in range(NUM_CLASSES)),
        splits=splits,
        location=str(folder),
        notices=notices,
    )


def _locate(request: Request) -> Located:
    """The folder of the four files; they are downloaded where it is not there, or from the address given."""
    location = request.location
    base = str(location).rstrip("/") + "/" if location is not None and is_url(str(location)) else None
    if location is not None and base is None:
        return Located(Path(location))
    folders = [request.raw / name for name in RAW_FOLDERS if (request.raw / name).is_dir()]
    if folders and base is None and not _unfinished(folders[0]):
        return Located(folders[0])
    folder = request.raw / RAW_FOLDERS[0]
    for archive in ARCHIVES:
        if not (folder / archive.name).exists():
            fetch(base + archive.name if base else archive.url, folder / archive.name, archive, request.progress)
    return Located(folder, (f"{folder}: downloaded from {base or ADDRESS}, the MD5s are the published ones",))


def _unfinished(folder: Path) -> bool:
    """Whether a download of ours was cut there: it is gone on with then."""
    present = [archive.name for archive in ARCHIVES if (folder / archive.name).is_file()]
    return len(present) < len(ARCHIVES) and (bool(present) or any(folder.glob("*.part")))


def _find(folder: Path, stem: str, kind: str) -> Path:
    for name in (f"{stem}-{kind}", f"{stem}.{kind}", f"{stem}-{kind}.gz", f"{stem}.{kind}.gz"):
        if (folder / name).is_file():
            return folder / name
    raise DataToolsError(f"{folder}: no {stem}-{kind} or {stem}-{kind}.gz; fetch the set again")


@contextmanager
def _open_idx(path: Path, dimensions: int) -> Iterator[tuple[BinaryIO, tuple[int, ...]]]:
    """The file after its header, and its dimensions."""
    with archive_errors(path), path.open("rb") as raw:
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw)
        header = file.read(4 + 4 * dimensions)
        if len(header) < 4 + 4 * dimensions or header[:4] != bytes([0, 0, UINT8, dimensions]):
            raise DataToolsError(f"{path}: not an idx file of {dimensions}-dimensional bytes; fetch it again")
        shape = tuple(int(side) for side in np.frombuffer(header[4:], ">u4"))
        if (
            not 0 < shape[0] <= MAX_RECORDS
            or any(not 0 < side <= 1024 for side in shape[1:])
            or (math.prod(shape) > MAX_PIXELS)
        ):
            raise DataToolsError(f"{path}: dimensions {shape} are not MNIST's; fetch it again")
        yield file, shape


def _read_exactly(file: BinaryIO, size: int, path: Path) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise DataToolsError(f"{path}: ends {size - len(data):,} bytes early; fetch it again")
    return data


def _expect_end(file: BinaryIO, path: Path) -> None:
    if file.read(1):
        raise DataToolsError(f"{path}: longer than its header says; fetch it again")


def _read_labels(path: Path) -> np.ndarray:
    with _open_idx(path, 1) as (file, (records,)):
        labels = np.frombuffer(_read_exactly(file, records, path), np.uint8)
        _expect_end(file, path)
    wrong = np.flatnonzero(labels >= NUM_CLASSES)
    if len(wrong):
        raise DataToolsError(
            f"{path}: record {wrong[0]} has label {labels[wrong[0]]}, 0..{NUM_CLASSES - 1} expected; fetch it again"
        )
    return labels.astype(np.int64)


def _chunks(path: Path, labels: np.ndarray) -> Iterator[Chunk]:
    with _open_idx(path, 3) as (file, (_, height, width)):
        shape = ImageShape(1, height, width)
        step = records_per_chunk(shape)
        for start in range(0, len(labels), step):
            part = labels[start : start + step]
            pixels = np.frombuffer(_read_exactly(file, len(part) * height * width, path), np.uint8)
            yield Chunk(part, partial(np.reshape, pixels, (len(part), *shape)))
        _expect_end(file, path)
