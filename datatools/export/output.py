"""A file or folder that appears whole or not at all, and that replaces only its like.

It is built beside its place, as `.NAME.partial-…`, and renamed when it is complete; a process that is killed
leaves at most such a hidden thing, which the next build of the same name sweeps away.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from datatools.dataset import DATASET_FILE, Dataset, package_version
from datatools.errors import DataToolsError

EXPORT_FILE = "export.json"
"""Lies in every folder that an export made: what it is and of which dataset. Only such a folder is overwritten."""
FORMAT_VERSION = 1
MAX_EXPORT_BYTES = 64 << 20


def check_file(out: Path, suffixes: Sequence[str], overwrite: bool) -> None:
    """Raise DataToolsError unless a file of a kind named by `suffixes` (".png", …) may be written to `out`."""
    if out.suffix.lower() not in suffixes:
        raise DataToolsError(f"--out {out}: a file name that ends in {' or '.join(suffixes)} is expected")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_file():
        raise DataToolsError(f"{out}: exists and is not a plain file; choose another --out")
    if not overwrite:
        raise DataToolsError(f"{out}: exists already; pass --overwrite to replace it, or choose another --out")


def check_folder(out: Path, overwrite: bool) -> None:
    """Raise DataToolsError unless an exported folder may be written to `out`."""
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise DataToolsError(f"{out}: exists and is not a folder; choose another --out")
    if not any(out.iterdir()):
        return
    if not _is_export(out):
        raise DataToolsError(f"{out}: a folder that no export made, never overwritten; choose another --out")
    if not overwrite:
        raise DataToolsError(f"{out}: exists already; pass --overwrite to replace it, or choose another --out")


def check_apart(out: Path, dataset: Dataset) -> None:
    """Raise DataToolsError where `out` is, holds or lies in the dataset, or lies in another dataset."""
    place, own = out.resolve(), dataset.path.resolve()
    if place == own or place in own.parents:
        raise DataToolsError(f"{out}: is or holds the dataset itself, never overwritten; choose another --out")
    for folder in place.parents:
        if (folder / DATASET_FILE).is_file():
            raise DataToolsError(f"{out}: lies inside a dataset directory, {folder.name}; choose another --out")


def describe_export(folder: Path, to: str, dataset: Dataset, **facts: Any) -> None:
    """Write EXPORT_FILE: the format, the dataset's name and the SHA-256 of its dataset.json, and `facts`."""
    text = json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "export": to,
            "dataset": {"name": dataset.metadata.name, "sha256": dataset.sha256},
            **facts,
            "created_by": package_version(),
        },
        indent=2,
        ensure_ascii=False,
    )
    (folder / EXPORT_FILE).write_text(text, encoding="utf-8")


def _is_export(folder: Path) -> bool:
    file = folder / EXPORT_FILE
    try:
        if not file.is_file() or file.stat().st_size > MAX_EXPORT_BYTES:
            return False
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"export", "dataset", "created_by"} <= value.keys()


@contextmanager
def whole_file(out: Path, suffixes: Sequence[str], overwrite: bool) -> Iterator[Path]:
    """Yield an empty file that becomes `out` when the block ends without an error; see `check_file`."""
    out = out.absolute()
    check_file(out, suffixes, overwrite)

    def create(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)

    with _whole(out, create) as partial:
        yield partial


@contextmanager
def whole_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` when the block ends without an error; see `check_folder`."""
    out = out.absolute()  # "." has neither a name nor a parent
    check_folder(out, overwrite)

    def create(path: Path) -> int:
        path.mkdir()
        return os.open(path, os.O_RDONLY)

    with _whole(out, create) as partial:
        yield partial


@contextmanager
def _whole(out: Path, create: Callable[[Path], int]) -> Iterator[Path]:
    new_parents = [folder for folder in out.parent.parents if not folder.exists()]
    if not out.parent.exists():
        new_parents = [out.parent, *new_parents]
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
