"""The record and the batch file, byte by byte.

A batch file is records and nothing else, so its size is (number of records) x (record bytes). A record is

    offset  bytes                     content
    0       4                         id, unsigned, big-endian
    4       4                         label, unsigned, big-endian
    8       depth x height x width    pixels, uint8, depth-major: plane by plane (all red rows, then green,
                                      then blue), each plane row by row from the top

(README of the official SELFIE release, section 3, and its reader.) Ids are dense, 0..N-1 inside a split, in
the order of the source; they run on from one batch file of a split to the next. Labels are 0..K-1.

An independent reader is one line:

    np.memmap(path, dtype=[("id", ">u4"), ("label", ">u4"), ("pixels", "u1", (depth, height, width))])
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from datatools.errors import DataToolsError

ID_BYTES = 4
LABEL_BYTES = 4
CHUNK_BYTES = 8 << 20
"""How much of a batch file is held in memory at a time."""


class ImageShape(NamedTuple):
    """Shape of one image as it lies in a record: planes, rows, columns."""

    depth: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.depth}x{self.height}x{self.width}"


def record_dtype(image_shape: ImageShape) -> np.dtype:
    """The NumPy dtype of one record: fields id (>u4), label (>u4), pixels (u1, depth x height x width)."""
    return np.dtype([("id", ">u4"), ("label", ">u4"), ("pixels", "u1", tuple(image_shape))])


def records_per_chunk(image_shape: ImageShape) -> int:
    """How many records make about CHUNK_BYTES; at least one."""
    return max(1, CHUNK_BYTES // record_dtype(image_shape).itemsize)


def read_records(path: Path, image_shape: ImageShape) -> np.ndarray:
    """The records of a batch file as a read-only memory map.

    Returns:
        (records,) structured array of `record_dtype(image_shape)`; nothing is read until it is touched.

    Raises:
        DataToolsError: the file is missing, empty, or not a whole number of records long.
    """
    dtype = record_dtype(image_shape)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataToolsError(
            f"{path}: no such batch file; convert or corrupt the dataset again (--overwrite)"
        ) from None
    if size == 0 or size % dtype.itemsize:
        raise DataToolsError(
            f"{path}: {size:,} bytes is not a whole number of records of {dtype.itemsize:,} bytes "
            f"({image_shape} images); the file is cut short or of another image shape: make it anew (--overwrite)"
        )
    return np.memmap(path, dtype=dtype, mode="r")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class RecordWriter:
    """Writes one batch file in pieces and hashes what it writes.

    A context manager; `records` and `sha256` describe what has been written so far.
    """

    def __init__(self, path: Path, image_shape: ImageShape) -> None:
        self.path = path
        self.records = 0
        self._dtype = record_dtype(image_shape)
        self._digest = hashlib.sha256()
        self._file = path.open("xb")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, ids: np.ndarray, labels: np.ndarray, pixels: np.ndarray) -> None:
        """Append records.

        Args:
            ids: (B,) integers, labels: (B,) integers, pixels: (B, depth, height, width) uint8.
        """
        chunk = np.empty(len(ids), self._dtype)
        if pixels.dtype != np.uint8 or pixels.shape != chunk["pixels"].shape:
            raise ValueError(f"pixels are {pixels.dtype}{pixels.shape}, the record wants uint8{chunk['pixels'].shape}")
        chunk["id"], chunk["label"], chunk["pixels"] = ids, labels, pixels
        data = chunk.view(np.uint8).data
        self._file.write(data)
        self._digest.update(data)
        self.records += len(chunk)

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
