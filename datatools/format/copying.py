"""Copies a dataset's files, some records of its batch files changed on the way.

A file that is copied as it is never leaves the kernel. One that changes must be hashed, so all its bytes come through
the processor anyway: they are read once, changed, hashed and written. Where the system can share blocks between files,
only the changes are written.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datatools.files.copying import copy_file, share_blocks
from datatools.format.dataset import Dataset
from datatools.format.metadata import FILES_CSV, SKIPPED_CSV, SPLITS, BatchFile
from datatools.format.records import ImageShape, read_records, record_dtype, records_per_piece
from datatools.processors import usable_processors

FILES_A_PROCESSOR = 3
"""How many files are copied at a time, for each processor."""


class Change(NamedTuple):
    """One field of some records is to be something else.

    Attributes:
        field: "label" or "pixels". positions: (B,) the records' numbers. values: (B, …) what to write.
    """

    field: str
    positions: np.ndarray
    values: np.ndarray


def copy_changed(
    source: Path, target: Path, image_shape: ImageShape, changes: Callable[[slice], Iterable[Change]]
) -> str:
    """Copy a batch file to the new file `target` with some records changed; every other byte stays.

    Args:
        changes: called with a run of records of the file, gives what changes in them; positions count from its start.

    Returns:
        The SHA-256 of `target`.

    Raises:
        OSError: the target exists, the disk is full, …; it names the file.
        DataToolsError: the source is no whole number of records long.
    """
    records, step = len(read_records(source, image_shape)), records_per_piece(image_shape)
    memory = np.empty(min(step, records), record_dtype(image_shape))
    digest = hashlib.sha256()
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        shared = share_blocks(reader.fileno(), writer.fileno(), target)
        for start in range(0, records, step):
            piece = memory[: min(step, records - start)]
            data = piece.view(np.uint8).data
            _read_exactly(reader.fileno(), data, start * piece.itemsize, source)
            for change in changes(slice(start, start + len(piece))):
                piece[change.field][change.positions] = change.values
                if shared:
                    overwrite_records(target, image_shape, change.field, change.positions + start, change.values)
            digest.update(data)
            if not shared:
                _write_exactly(writer.fileno(), data, start * piece.itemsize, target)
    return digest.hexdigest()


class DatasetCopy:
    """Copies a dataset's files, several at a time, while its user goes on; a context manager.

    Files that do not change are on their way from the beginning. Reading, hashing and writing leave Python to itself.

    Args:
        folder: an empty directory to copy to. others: names of the files that are copied as they are.

    Raises:
        as `copy_changed` and `copy_file`, from `finish`. Where a block ends by an error, what is not yet begun is not.
    """

    def __init__(self, parent: Dataset, folder: Path, others: Sequence[str]) -> None:
        self.parent, self.folder = parent, folder
        files = len(others) + len(parent.metadata.splits["train"])
        # more threads than processors: the system shares them out evenly, however many files there are
        self._pool = ThreadPoolExecutor(min(files, FILES_A_PROCESSOR * usable_processors()), "copy")
        self._others = [self._pool.submit(copy_file, parent.path / name, folder / name) for name in others]
        self._batches: list[Future[BatchFile]] = []

    def change(self, changes: Sequence[Callable[[slice], Iterable[Change]]]) -> None:
        """Begin to copy the training batches; `changes` has for each file what `copy_changed` wants."""
        files = self.parent.metadata.splits["train"]
        self._batches = [
            self._pool.submit(self._changed, file, change) for file, change in zip(files, changes, strict=True)
        ]

    def _changed(self, file: BatchFile, changes: Callable[[slice], Iterable[Change]]) -> BatchFile:
        source, target = self.parent.path / file.name, self.folder / file.name
        return replace(file, sha256=copy_changed(source, target, self.parent.metadata.image_shape, changes))

    def finish(self, progress: Callable[[int, int], None]) -> tuple[BatchFile, ...]:
        """Wait for all files.

        Args:
            progress: called with records done and in all.

        Returns:
            The training batch files, with their new SHA-256.
        """
        total = sum(self.parent.metadata.num_records(split) for split in SPLITS)
        files: list[BatchFile] = []
        for batch in self._batches:
            files.append(batch.result())
            progress(sum(file.records for file in files), total)
        for other in self._others:
            other.result()
        progress(total, total)
        return tuple(files)

    def __enter__(self) -> DatasetCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def copy_with_labels(
    parent: Dataset, labels: np.ndarray, folder: Path, progress: Callable[[int, int], None]
) -> tuple[BatchFile, ...]:
    """Copy every batch file, and the lists of files where there are any, with other training labels; pixels stay.

    Args:
        labels: (N,) int64, the training label of id i at i. folder, progress: as of `DatasetCopy`.

    Returns:
        The training batch files, with their new SHA-256.
    """
    others = [file.name for file in parent.metadata.splits["test"]]
    beside = {FILES_CSV: parent.metadata.files_csv, SKIPPED_CSV: parent.metadata.skipped}
    others += [name for name, recorded in beside.items() if recorded is not None]

    def changes_in(batch: np.ndarray) -> Callable[[slice], Iterator[Change]]:
        ids, old = batch["id"].astype(np.int64), batch["label"].astype(np.int64)

        def changes(records: slice) -> Iterator[Change]:
            new = labels[ids[records]]
            positions = np.flatnonzero(new != old[records])
            yield Change("label", positions, new[positions])

        return changes

    with DatasetCopy(parent, folder, others) as copy:
        copy.change([changes_in(batch) for batch in parent.batches("train")])
        return copy.finish(progress)


def _read_exactly(descriptor: int, data: memoryview, offset: int, source: Path) -> None:
    done = 0
    while done < len(data):
        count = os.preadv(descriptor, [data[done:]], offset + done)
        if count == 0:
            raise OSError(errno.EIO, "the file became shorter while it was read", str(source))
        done += count


def _write_exactly(descriptor: int, data: memoryview, offset: int, target: Path) -> None:
    done = 0
    while done < len(data):
        try:
            done += os.pwrite(descriptor, data[done:], offset + done)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from None


def overwrite_records(
    path: Path, image_shape: ImageShape, field: str, positions: np.ndarray, values: np.ndarray
) -> None:
    """Write one field of some records of a batch file; every other byte stays.

    Written by `pwrite` and not through a memory map: where a shared block cannot be copied because the disk is full,
    a map kills the process.

    Args:
        field: "label" or "pixels". positions: (B,) the records' numbers in the file. values: (B, …) what to write.

    Raises:
        OSError: as the system says; it names the file.
    """
    dtype = record_dtype(image_shape)
    element, offset = dtype.fields[field][:2] if dtype.fields else (dtype, 0)
    data = memoryview(np.ascontiguousarray(values, element.base).tobytes())
    width, step = element.itemsize, dtype.itemsize
    with path.open("r+b", buffering=0) as file:
        descriptor = file.fileno()
        for number, position in enumerate(positions.tolist()):
            piece = data[number * width : (number + 1) * width]
            try:
                written = os.pwrite(descriptor, piece, position * step + offset)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
            if written != width:  # part of it fitted
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def images_of(dataset: Dataset, ids: np.ndarray) -> np.ndarray:
    """(B, depth, height, width) uint8: the training images of (B,) `ids`, in a dataset with ids 0..N-1 in order."""
    images = np.empty((len(ids), *dataset.metadata.image_shape), np.uint8)
    start = 0
    for batch in dataset.batches("train"):
        here = np.flatnonzero((ids >= start) & (ids < start + len(batch)))
        images[here] = batch["pixels"][ids[here] - start]
        start += len(batch)
    return images
