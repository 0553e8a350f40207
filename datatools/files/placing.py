"""Puts what was built into its place, so that a kill at any moment leaves the old thing there or the new one.

What is built, and an old folder that is being replaced, have hidden names beside their place:

    .NAME.partial-XXXXXXXX    a build that is not in its place yet, or a folder that was replaced and is being removed
    .NAME.old-XXXXXXXX        the folder of that name, for the moment in which it is replaced, and only where the file
                              system cannot exchange two folders in one step

The lock of the folder that holds them is for what takes more than one step, and to tell a living build from what a kill
left. A file system without locks (NFS, some of a cluster) does without: each step is still whole, another writer in
between is met by trying again, and what a kill left stays, as nobody can tell whether its writer lives.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datatools.errors import TakenError
from datatools.files.copying import UNSUPPORTED

PARTIAL, OLD = "partial", "old"
AT_FDCWD = -100
EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2) on Linux, and RENAME_SWAP of renamex_np(2) on macOS."""
NO_LOCKS = UNSUPPORTED | {errno.ENOLCK}
SOMETHING_STANDS_THERE = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})
"""What the system says to renaming a folder over a folder that is not empty, or over a file."""
ATTEMPTS = 10
"""How often a place that others change at the same time is tried, where there is no lock."""


def put_new(partial: Path, out: Path) -> None:
    """Put what was built where nothing, or an empty folder, stands; the system decides that at the last moment.

    Raises:
        TakenError: something stands there by now.
    """
    try:
        if partial.is_dir():
            partial.rename(out)
        else:
            _put_new_file(partial, out)
    except OSError as error:
        if error.errno not in SOMETHING_STANDS_THERE:
            raise
        raise TakenError(
            f"{out}: another process made it meanwhile; use that one, pass --overwrite to replace it, or choose "
            "another --out"
        ) from None


def _put_new_file(partial: Path, out: Path) -> None:
    try:
        os.link(partial, out)  # unlike a rename, never over another file; the caller removes the other name
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        if os.path.lexists(out):  # under the lock, no other build can come in between
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(out)) from None
        partial.rename(out)


def put_over(partial: Path, out: Path) -> None:
    """Put what was built in its place; a folder that stood there has the name `partial` afterwards."""
    if not partial.is_dir():
        partial.replace(out)
        return
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if os.path.lexists(out):
                _swap(partial, out)
            else:
                partial.rename(out)
        except OSError as error:
            changed_meanwhile = error.errno in {*SOMETHING_STANDS_THERE, errno.ENOENT}
            if not changed_meanwhile or attempt == ATTEMPTS:
                raise
        else:
            return


def _swap(partial: Path, out: Path) -> None:
    if exchange(partial, out):
        return
    old = hidden_path(out, OLD)
    try:
        out.rename(old)
        partial.rename(out)
    except BaseException:
        with suppress(OSError):  # not renamed yet, or something stands there already
            old.rename(out)
        raise
    try:
        old.rename(partial)
    except OSError:  # the new one is in place: this is no failure any more
        remove(old)


def exchange(path: Path, other: Path) -> bool:
    """Swap what stands at two paths in one step; False where the system or the file system cannot.

    Raises:
        OSError: one of them is missing, or the system refuses for another reason.
    """
    call = _exchange_call()
    if call is None:
        return False
    if call(os.fsencode(path), os.fsencode(other)) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))


@functools.cache
def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):  # Linux
        return lambda path, other: int(library.renameat2(AT_FDCWD, path, AT_FDCWD, other, EXCHANGE))
    if hasattr(library, "renamex_np"):  # macOS
        return lambda path, other: int(library.renamex_np(path, other, EXCHANGE))
    return None


# --- hidden names and locks ------------------------------------------------------------------------------------------


def hidden_path(out: Path, kind: str) -> Path:
    """A new hidden name beside `out`; `kind` is PARTIAL or OLD."""
    return out.with_name(f".{out.name}.{kind}-{uuid.uuid4().hex[:8]}")


def _hidden_paths(out: Path, kind: str) -> list[Path]:
    pattern = re.compile(rf"\.{re.escape(out.name)}\.{kind}-[0-9a-f]{{8}}")
    return [path for path in out.parent.iterdir() if pattern.fullmatch(path.name)]


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder while the block runs; yields whether there is one."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def undisturbed(path: Path) -> Iterator[None]:
    """Look at `path` while no writer is in the middle of replacing it; as it is, where its folder has no lock."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError:  # no such folder, or one that cannot be listed: what looks at it says so
        yield
        return
    try:
        with suppress(OSError):  # who only looks does not fail for want of a lock
            lock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def lock(descriptor: int, operation: int = fcntl.LOCK_EX) -> bool:
    """Lock what is open until it is closed; False where the file system has no locks.

    Raises:
        BlockingIOError: `operation` has LOCK_NB, and another process holds the lock.
    """
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


# --- what kills left -------------------------------------------------------------------------------------------------


def restore(out: Path) -> None:
    """Give `out`, where nothing stands, its old folder back, if a kill in the middle of `put_over` left it hidden."""
    with suppress(OSError):  # no such parent, or one that cannot be listed: nothing of ours is in it
        if not _hidden_paths(out, OLD):
            return
        with locked(out.parent):
            _restore(out)


def _restore(out: Path) -> None:
    if os.path.lexists(out):
        return
    old = max(_hidden_paths(out, OLD), key=lambda path: path.lstat().st_ctime_ns, default=None)
    if old is not None:
        old.rename(out)


def sweep(out: Path) -> None:
    """Restore `out`, then remove what killed builds of that name left; the folder's lock is held.

    A living build holds a lock on its own.
    """
    _restore(out)
    for old in _hidden_paths(out, OLD):
        remove(old)
    for stale in _hidden_paths(out, PARTIAL):
        with suppress(OSError):  # gone meanwhile, locked, or not to be opened
            descriptor = os.open(stale, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    remove(stale)
            finally:
                os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder as far as that goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
