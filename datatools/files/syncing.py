"""Waits until what was written is on the disk (fsync), so that a power cut does not take it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from datatools.errors import DataToolsError
from datatools.files.copying import UNSUPPORTED

VARIABLE = "DATATOOLS_FSYNC"
"""The environment variable that switches it: "on", the default, or "off"."""
FILES_AT_A_TIME = 8
"""A file system's journal takes several files in one go."""


def fsync_wanted() -> bool:
    """What the environment says.

    Raises:
        DataToolsError: neither "on" nor "off".
    """
    value = os.environ.get(VARIABLE) or "on"
    if value not in ("on", "off"):
        raise DataToolsError(f"{VARIABLE}={value}: on or off is expected")
    return value == "on"


@contextmanager
def no_fsync() -> Iterator[None]:
    """Switch it off while the block runs, also for processes that are started meanwhile."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "off"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def sync_tree(path: Path) -> None:
    """Wait until a file, or a folder and all that is in it, is on the disk.

    Raises:
        OSError: the disk refuses; it names the file. A file system that has no such call is no error.
    """
    if not path.is_dir():
        sync(path)
        return
    entries = list(os.walk(path, topdown=False))
    with ThreadPoolExecutor(FILES_AT_A_TIME, "fsync") as pool:
        for future in [pool.submit(sync, Path(folder, name)) for folder, _, names in entries for name in names]:
            future.result()
    for folder, _, _ in entries:
        sync(Path(folder))


def sync(path: Path) -> None:
    """Wait until one file, or the names in one folder, are on the disk; raises as `sync_tree`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: its fsync leaves the data in the memory of the disk
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        else:
            os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)
