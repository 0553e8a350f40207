"""Copies a file by the fastest way that system and file system offer."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

FICLONE = 0x40049409
"""ioctl(2) of Linux: let one file share another's blocks until either is written to."""
STEP_BYTES = 64 << 20
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
            empty(writer.fileno())
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


def share_blocks(reader: int, writer: int, target: Path) -> bool:
    """Let the target share the source's blocks; False where the system does not do that."""
    try:
        return WAYS["reflink"](reader, writer, os.fstat(reader).st_size)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(target)) from None
        empty(writer)
        return False


def empty(descriptor: int) -> None:
    """Take away what a call wrote before it failed.

    Not where it wrote nothing: of a file that was cut to length 0, ext4 writes all to the disk when it is closed, to
    save programs that overwrite their files in place, and that costs a multiple of the copying.
    """
    if os.fstat(descriptor).st_size:
        os.ftruncate(descriptor, 0)
