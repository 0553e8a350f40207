"""A file or folder that appears whole or not at all.

It is built beside its place, as `.NAME.partial-XXXX`, and renamed when it is complete; a process that is killed leaves
at most such a hidden thing, which the next build of the same name sweeps away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datatools.dataset import DATASET_FILE
from datatools.errors import DataToolsError


@contextmanager
def dataset_directory(out: Path, overwrite: bool) -> Iterator[Path]:
    """Yield an empty directory that becomes `out` when the block ends without an error.

    Args:
        overwrite: replace a dataset that stands at `out`. It is replaced only once the new one is complete.

    Raises:
        DataToolsError: `out` exists and `overwrite` is not given, or `out` is something else than a dataset.
    """
    out = out.absolute()  # "." has neither a name nor a parent
    check_free(out, overwrite)
    with appearing(out, new_folder) as partial:
        yield partial


def check_free(out: Path, overwrite: bool) -> None:
    """Raise DataToolsError unless a dataset may be written to `out`."""
    if not os.path.lexists(out):
        return
    if not out.is_dir() or out.is_symlink():
        raise DataToolsError(f"{out}: exists and is not a directory; choose another --out")
    if not any(out.iterdir()):
        return
    if not (out / DATASET_FILE).is_file():
        raise DataToolsError(f"{out}: a directory that is not a dataset, never overwritten; choose another --out")
    if not overwrite:
        raise DataToolsError(f"{out}: exists already; pass --overwrite to replace it, or choose another --out")


def new_folder(path: Path) -> int:
    """Make a folder; a descriptor of it."""
    path.mkdir()
    return os.open(path, os.O_RDONLY)


def new_file(path: Path) -> int:
    """Make an empty file; a descriptor of it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


@contextmanager
def appearing(out: Path, create: Callable[[Path], int]) -> Iterator[Path]:
    """Yield a new thing beside `out` that takes its place, and that of what stands there, when the block ends well.

    Args:
        out: absolute. create: `new_folder` or `new_file`.
    """
    new_parents = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, lock = None, None
    try:
        partial, lock = _begin(out, create)
        yield partial
        _put_in_place(partial, out)
    finally:
        if lock is not None:
            os.close(lock)
        if partial is not None:
            _remove(partial)
        if not out.exists():
            with suppress(OSError):  # another build may have put something there
                for folder in new_parents:
                    folder.rmdir()


def _begin(out: Path, create: Callable[[Path], int]) -> tuple[Path, int]:
    """A new partial thing for `out`, and the descriptor that holds its lock."""
    parent = os.open(out.parent, os.O_RDONLY)
    try:
        # one at a time, or another build could take the new thing for a stale one before it is locked
        fcntl.flock(parent, fcntl.LOCK_EX)
        _sweep(out)
        partial = _partial_path(out)
        lock = create(partial)
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(parent)
    return partial, lock


def _partial_path(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial-{uuid.uuid4().hex[:8]}")


def _put_in_place(partial: Path, out: Path) -> None:
    if not partial.is_dir() or not out.exists():
        partial.replace(out)
        return
    old = _partial_path(out)  # a folder that is not empty cannot be renamed over
    out.rename(old)
    try:
        partial.rename(out)
    except BaseException:
        old.rename(out)
        raise
    _remove(old)


def _sweep(out: Path) -> None:
    """Remove what killed builds of the same name left; a living build holds a lock on its own."""
    for stale in out.parent.iterdir():
        if not stale.name.startswith(f".{out.name}.partial-"):
            continue
        try:
            lock = os.open(stale, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(stale)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
