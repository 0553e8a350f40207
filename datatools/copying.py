"""Copies files by the fastest way that system and file system offer, some records of a batch file changed on the way.

A file that is copied as it is never leaves the kernel. One that changes must be hashed, so all its bytes come through
the processor anyway: they are read once, changed, hashed and written. Where the system can share blocks between files,
only the changes are written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datatools.dataset import SPLITS, BatchFile, Dataset
from datatools.processors import usable_processors
from datatools.records import ImageShape, read_records, record_dtype, records_per_piece

FICLONE = 0x40049409
"""ioctl(2) of Linux: let one file share another's blocks until either is written to."""
STEP_BYTES = 64 << 20
FILES_A_PROCESSOR = 3
"""How many files are copied at a time, for each processor."""
UNSUPPORTED = frozenset(
    {
        errno.EINVAL,
        errno.ENOSYS,
        errno.ENOTTY,
        errno.EOPNOTSUPP,
        errno.ENOTSUP,
        errno.EXDEV,
        errno.EBADF,
        errno.EPERM,
        errno.ENOTSOCK,
        errno.ETXTBSY,
    }
)
"""What a call says that this system, these file systems or this pair of files do not have."""


def copy_file(source: Path, target: Path) -> str:
    """Copy `source` to the new file `target`.

    The calls are tried from the fastest on: a reflink (no byte is moved), `copy_file_range` and `sendfile` (bytes are
    moved inside the kernel), then plain reading and writing.

    Returns:
        The name of the call that did it, one of WAYS.

    Raises:
        OSError: the target exists, the disk is full, …; it names the file.
    """
    with source.open("rb") as reader, target.open("xb", buffering=0) as writer:
        size = os.fstat(reader.fileno()).st_size
        for name, way in WAYS.items():
            try:
                if way(reader.fileno(), writer.fileno(), size):
                    return name
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise OSError(error.errno, error.strerror, str(target)) from None
            _empty(writer.fileno())
            writer.seek(0)
        try:
            reader.seek(0)
            shutil.copyfileobj(reader, writer, 1 << 20)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from None
    return READ_AND_WRITE


def _reflink(reader: int, writer: int, size: int) -> bool:
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return False
    fcntl.ioctl(writer, FICLONE, reader)
    return True


def _copy_file_range(reader: int, writer: int, size: int) -> bool:
    if not hasattr(os, "copy_file_range"):
        return False
    return _in_steps(lambda at: os.copy_file_range(reader, writer, min(STEP_BYTES, size - at), at, at), size)


def _sendfile(reader: int, writer: int, size: int) -> bool:
    if not hasattr(os, "sendfile"):
        return False
    return _in_steps(lambda at: os.sendfile(writer, reader, at, min(STEP_BYTES, size - at)), size)


def _in_steps(step: Callable[[int], int], size: int) -> bool:
    """Call `step(bytes done)`, which returns how many bytes it moved, until all are; False where it stops early."""
    done = 0
    while done < size:
        moved = step(done)
        if moved == 0:  # some file systems say so where they mean that they cannot
            return False
        done += moved
    return True


WAYS: dict[str, Callable[[int, int, int], bool]] = {
    "reflink": _reflink,
    "copy_file_range": _copy_file_range,
    "sendfile": _sendfile,
}
READ_AND_WRITE = "read and write"


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
        shared = _shares_blocks(reader.fileno(), writer.fileno(), target)
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
        self._batches = [self._pool.submit(self._changed, file, own) for file, own in zip(files, changes, strict=True)]

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


def _shares_blocks(reader: int, writer: int, target: Path) -> bool:
    """Let the target share the source's blocks; False where the system does not do that."""
    try:
        return WAYS["reflink"](reader, writer, os.fstat(reader).st_size)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(target)) from None
        _empty(writer)
        return False


def _empty(descriptor: int) -> None:
    """Take away what a call wrote before it failed.

    Not where it wrote nothing: of a file that was cut to length 0, ext4 writes all to the disk when it is closed, to
    save programs that overwrite their files in place, and that costs a multiple of the copying.
    """
    if os.fstat(descriptor).st_size:
        os.ftruncate(descriptor, 0)


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
