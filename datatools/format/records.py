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
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from datatools.errors import DataToolsError
from datatools.files.write_errors import naming

ID_BYTES = 4
LABEL_BYTES = 4
CHUNK_BYTES = 8 << 20
"""How much of a batch file is held in memory at a time."""
PIECE_BYTES = 1 << 20
"""How much of it is written and hashed at a time: little enough that a processor's cache holds it from the step that
makes it to those two."""
PIECES_BEING_HASHED = 4
"""How many pieces a `RecordWriter` holds at most, where a record is no larger than a piece."""


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


def records_per_piece(image_shape: ImageShape) -> int:
    """How many records make about PIECE_BYTES; at least one."""
    return max(1, PIECE_BYTES // record_dtype(image_shape).itemsize)


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

    Args:
        beside: hash in a thread of its own. It ends with the block, however that ends; what it meets is raised by the
            next `write`, by `sha256` or at the end of the block.
    """

    def __init__(self, path: Path, image_shape: ImageShape, *, beside: bool = True) -> None:
        self.path = path
        self.records = 0
        self._dtype = record_dtype(image_shape)
        self._digest = hashlib.sha256()
        self._file = path.open("xb")
        self._hasher = ThreadPoolExecutor(1, "hash") if beside else None  # one thread, so in the order of writing
        self._hashing: deque[tuple[np.ndarray, Future[None]]] = deque()
        self._free: list[np.ndarray] = []
        self._step = records_per_piece(image_shape)
        self._most = max(1, PIECES_BEING_HASHED * PIECE_BYTES // max(self._dtype.itemsize, PIECE_BYTES))

    @property
    def sha256(self) -> str:
        self.wait()
        return self._digest.hexdigest()

    def wait(self) -> None:
        """Wait until all that was written is hashed; the memory it was in is free then."""
        self._wait(0)
        self._free.clear()

    def write(self, ids: np.ndarray, labels: np.ndarray, pixels: np.ndarray) -> None:
        """Append records.

        Args:
            ids: (B,) integers, labels: (B,) integers, pixels: (B, depth, height, width) uint8.
        """
        wanted = (len(ids), *self._dtype["pixels"].shape)
        if pixels.dtype != np.uint8 or pixels.shape != wanted:
            raise ValueError(f"pixels are {pixels.dtype}{pixels.shape}, the record wants uint8{wanted}")
        for start in range(0, len(ids), self._step):
            part = slice(start, start + self._step)
            self._append(ids[part], labels[part], pixels[part])

    def _append(self, ids: np.ndarray, labels: np.ndarray, pixels: np.ndarray) -> None:
        self._wait(self._most - 1)
        memory = self._free.pop() if self._free else None
        if memory is None or len(memory) < len(ids):
            memory = np.empty(len(ids), self._dtype)
        piece = memory[: len(ids)]
        piece["id"], piece["label"], piece["pixels"] = ids, labels, pixels
        data = piece.view(np.uint8).data
        if self._hasher is None:
            self._digest.update(data)
        else:
            self._hashing.append((memory, self._hasher.submit(self._digest.update, data)))
        with naming(self.path):
            self._file.write(data)
        if self._hasher is None:
            self._free.append(memory)
        self.records += len(piece)

    def _wait(self, most: int) -> None:
        """Wait until at most `most` pieces are being hashed; the memory of the others is free then."""
        while len(self._hashing) > most:
            memory, future = self._hashing.popleft()
            future.result()
            self._free.append(memory)

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._hasher is not None:
                self._hasher.shutdown(cancel_futures=error is not None)
            if error is None:
                self.wait()
        finally:
            with naming(self.path):  # what is still in memory is written now
                self._file.close()
