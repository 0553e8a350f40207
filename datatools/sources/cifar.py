"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): the official python and binary versions, archive or folder.

Binary record: label byte (CIFAR-100: coarse, then fine), then 3,072 pixels, red, green and blue plane, row by
row: the pixels of our own record, so they are copied as they are. The python version holds the same numbers in
pickles, as a (records, 3072) uint8 array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from datatools.decoding.chunks import Chunk
from datatools.errors import DataToolsError, listed
from datatools.files.addresses import Archive
from datatools.files.archives import SourceFiles, archive_errors, open_files, read_whole
from datatools.files.pickles import load_pickle
from datatools.format.records import ImageShape, records_per_piece
from datatools.sources.base import Request, Source, SourceSplit
from datatools.sources.locate import locate

ADDRESS = "https://www.cs.toronto.edu/~kriz/"
IMAGE_SHAPE = ImageShape(3, 32, 32)
PIXELS = 3 * 32 * 32
MAX_PICKLE_BYTES = 256 << 20
MAX_NAMES_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """What the files of one of the two sets are called and hold.

    Attributes:
        label_bytes: of a binary record, in order, as label set names.
        pickle_labels, pickle_names: the pickles' keys of each label set's labels and of its names.
        text_names: file with the names of each label set, beside the binary batches.
        md5: of the binary and of the python archive, as the set's own page gives them. sizes: their bytes.
    """

    title: str
    stem: str
    binary: dict[str, tuple[str, ...]]
    python: dict[str, tuple[str, ...]]
    meta: str
    label_bytes: tuple[str, ...]
    num_classes: dict[str, int]
    pickle_labels: dict[str, str]
    pickle_names: dict[str, str]
    text_names: dict[str, str]
    md5: tuple[str, str]
    sizes: tuple[int, int]

    @property
    def archives(self) -> tuple[Archive, ...]:
        names = (f"{self.stem}-binary.tar.gz", f"{self.stem}-python.tar.gz")
        facts = zip(names, self.md5, self.sizes, strict=True)
        return tuple(Archive(name, ADDRESS + name, md5, size) for name, md5, size in facts)

    @property
    def folders(self) -> tuple[str, ...]:
        return (
            f"{self.stem}-batches-bin",
            f"{self.stem}-binary",
            f"{self.stem}-batches-py",
            f"{self.stem}-python",
        )


CIFAR10 = Layout(
    title="CIFAR-10",
    stem="cifar-10",
    binary={"train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "test": ("test_batch.bin",)},
    python={"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)},
    meta="batches.meta",
    label_bytes=("fine",),
    num_classes={"fine": 10},
    pickle_labels={"fine": "labels"},
    pickle_names={"fine": "label_names"},
    text_names={"fine": "batches.meta.txt"},
    md5=("c32a1d4ab5d03f1284b67883e8d87530", "c58f30108f718f92721af3b95e74349a"),
    sizes=(170_052_171, 170_498_071),
)
CIFAR100 = Layout(
    title="CIFAR-100",
    stem="cifar-100",
    binary={"train": ("train.bin",), "test": ("test.bin",)},
    python={"train": ("train",), "test": ("test",)},
    meta="meta",
    label_bytes=("coarse", "fine"),
    num_classes={"fine": 100, "coarse": 20},
    pickle_labels={"fine": "fine_labels", "coarse": "coarse_labels"},
    pickle_names={"fine": "fine_label_names", "coarse": "coarse_label_names"},
    text_names={"fine": "fine_label_names.txt", "coarse": "coarse_label_names.txt"},
    md5=("03b5dce01913d631647c71ecec9e9cb8", "eb9058c3a382ffc7106e4002c42a8d85"),
    sizes=(168_513_733, 169_001_437),
)


def open_cifar10(request: Request) -> Source:
    """CIFAR-10 from an archive or a folder."""
    return _open(CIFAR10, "fine", request)


def open_cifar100(request: Request) -> Source:
    """CIFAR-100 from an archive or a folder, with fine (100) or coarse (20) labels."""
    return _open(CIFAR100, request.label_set or "fine", request)


def _open(layout: Layout, label_set: str, request: Request) -> Source:
    names = (*(archive.name for archive in layout.archives), *layout.folders)
    location, notices = locate(request, names, layout.title, layout.archives)
    files = open_files(location, layout.folders)
    reader = _Batches(files, layout, label_set)
    return Source(
        image_shape=IMAGE_SHAPE,
        class_names=reader.class_names(),
        splits={split: reader.split(split) for split in ("train", "test")},
        location=str(location),
        archive=location if location.is_file() else None,
        notices=notices,
    )


class _Batches:
    """The batches of one layout with one label set, binary where they are there, else python."""

    def __init__(self, files: SourceFiles, layout: Layout, label_set: str) -> None:
        self.files, self.layout, self.label_set = files, layout, label_set
        self.is_binary = files.size(layout.binary["train"][0]) is not None
        names = layout.binary if self.is_binary else layout.python
        missing = [name for split in names.values() for name in split if files.size(name) is None]
        if not self.is_binary and len(missing) == sum(map(len, names.values())):
            raise DataToolsError(
                f"{files.location}: no {layout.title} batches there (neither {layout.binary['train'][0]} nor "
                f"{layout.python['train'][0]}); name the folder or archive that holds them"
            )
        if missing:
            raise DataToolsError(f"{files.location}: {listed(missing)} missing; fetch the whole set again")
        self.names = names

    def class_names(self) -> tuple[str, ...]:
        """The names beside the batches, in label order."""
        if self.is_binary:
            name = self.layout.text_names[self.label_set]
            text = read_whole(self.files, name, MAX_NAMES_BYTES)
            names = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
        else:
            name = self.layout.meta
            meta = load_pickle(read_whole(self.files, name, MAX_NAMES_BYTES), self.files.location / name)
            pickled_names = meta.get(self.layout.pickle_names[self.label_set])
            names = [
                item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
                for item in (pickled_names if isinstance(pickled_names, list) else [])
            ]
        if len(names) != self.layout.num_classes[self.label_set]:
            raise DataToolsError(
                f"{self.files.location / name}: {len(names)} class names, "
                f"{self.layout.num_classes[self.label_set]} expected; fetch the set again"
            )
        return tuple(names)

    def split(self, split: str) -> SourceSplit:
        names = self.names[split]
        if self.is_binary:
            parts = tuple(
                SourceSplit(self._binary_records(name), partial(self._chunks, self._binary_chunks, (name,)))
                for name in names
            )
            records = sum(part.records for part in parts)
            chunks = partial(self._chunks, self._binary_chunks, names)
            return SourceSplit(records, chunks, parts if self.files.many_readers else ())
        # The number of records is inside the pickles; the first pass reads the labels only to count them
        counts = [len(self._python_batch(name)[0]) for name in names]
        return SourceSplit(sum(counts), partial(self._chunks, self._python_chunks, names))

    def _chunks(
        self, read: Callable[[str], Iterator[tuple[np.ndarray, np.ndarray]]], names: tuple[str, ...]
    ) -> Iterator[Chunk]:
        for name in names:
            start = 0
            for labels, pixels in read(name):
                self._check_labels(labels, name, start)
                start += len(labels)
                yield Chunk(labels, partial(np.reshape, pixels, (-1, *IMAGE_SHAPE)))

    def _check_labels(self, labels: np.ndarray, name: str, start: int) -> None:
        num_classes = self.layout.num_classes[self.label_set]
        wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if len(wrong):
            raise DataToolsError(
                f"{self.files.location / name}: record {start + wrong[0]} has label {labels[wrong[0]]}, "
                f"0..{num_classes - 1} expected; this is not an official {self.layout.title} file, or it is damaged"
            )

    @property
    def _binary_record_bytes(self) -> int:
        return len(self.layout.label_bytes) + PIXELS

    def _binary_records(self, name: str) -> int:
        size, record = self.files.size(name) or 0, self._binary_record_bytes
        if size == 0 or size % record:
            raise DataToolsError(
                f"{self.files.location / name}: {size:,} bytes is not a whole number of {record:,}-byte records; "
                f"it is cut short or not a {self.layout.title} batch: fetch it again"
            )
        return size // record

    def _binary_chunks(self, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        column = self.layout.label_bytes.index(self.label_set)
        header = len(self.layout.label_bytes)
        left = self._binary_records(name)
        with archive_errors(self.files.location), self.files.open(name) as file:
            while left:
                count = min(left, records_per_piece(IMAGE_SHAPE))
                data = file.read(count * self._binary_record_bytes)
                if len(data) < count * self._binary_record_bytes:
                    raise EOFError(f"{name} ends early")
                records = np.frombuffer(data, np.uint8).reshape(count, -1)
                yield records[:, column].astype(np.int64), records[:, header:]
                left -= count

    def _python_batch(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        origin: Path = self.files.location / name
        batch = load_pickle(read_whole(self.files, name, MAX_PICKLE_BYTES), origin)
        pixels, labels = batch.get("data"), batch.get(self.layout.pickle_labels[self.label_set])
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (PIXELS,):
            raise DataToolsError(f"{origin}: no (records, {PIXELS}) uint8 'data' in it; fetch the set again")
        if not isinstance(labels, list) or len(labels) != len(pixels) or not all(type(n) is int for n in labels):
            raise DataToolsError(f"{origin}: its labels are not {len(pixels)} integers; fetch the set again")
        return np.clip(np.array(labels, object), -1, 1 << 30).astype(np.int64), pixels

    def _python_chunks(self, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        labels, pixels = self._python_batch(name)
        step = records_per_piece(IMAGE_SHAPE)
        for start in range(0, len(labels), step):
            yield labels[start : start + step], pixels[start : start + step]
