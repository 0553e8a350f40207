"""A directory that appears whole or not at all.

It is built beside its place, as `.NAME.partial-XXXX`, and renamed when it is complete; a process that is
killed leaves at most such a hidden directory, which the next build of the same name sweeps away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
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
    new_parents = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, lock = _begin(out)
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())  # mkdtemp's 0700 is for secrets, not for datasets
        _put_in_place(partial, out)
    finally:
        os.close(lock)
        shutil.rmtree(partial, ignore_errors=True)
        if not out.exists():
            with suppress(OSError):  # another build may have put something there
                for folder in new_parents:
                    folder.rmdir()


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


def _begin(out: Path) -> tuple[Path, int]:
    """A new partial directory for `out`, and the descriptor that holds its lock."""
    parent = os.open(out.parent, os.O_RDONLY)
    try:
        # one at a time, or another build could take the new directory for a stale one before it is locked
        fcntl.flock(parent, fcntl.LOCK_EX)
        _sweep(out)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
        lock = os.open(partial, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(parent)
    return partial, lock


def _put_in_place(partial: Path, out: Path) -> None:
    if not out.exists():
        partial.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        out.rename(old)
        partial.rename(out)
    except BaseException:
        if not out.exists():
            old.rename(out)
        else:
            old.rmdir()  # still empty: `out` did not move
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sweep(out: Path) -> None:
    """Remove what killed builds of the same name left; a living build holds a lock on its directory."""
    for stale in out.parent.glob(f".{_literal(out.name)}.partial-*"):
        try:
            lock = os.open(stale, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(stale, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
