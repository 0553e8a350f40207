"""The one writer: files, folders and HDF5 files that appear whole or not at all, and what may be written over.

A thing is built beside its place, as `.NAME.partial-XXXX`, and renamed when it is complete. A process that is killed
leaves at most such a hidden thing, which the next build of the same name removes. What the system refuses (no room, no
permission) is raised as the OSError that it is.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from datatools.errors import DataToolsError

if TYPE_CHECKING:
    import h5py

REPLACE = "exists already; pass --overwrite to replace it"


# --- may I write here? -----------------------------------------------------------------------------------------------


class FolderKind(NamedTuple):
    """A kind of folder that this project makes, and may therefore replace.

    Attributes:
        is_one: whether a folder is of this kind. It may look into it, and must not raise for a folder of another kind.
        otherwise: what a folder of another kind is called, such as "a directory that is not a dataset".
    """

    is_one: Callable[[Path], bool]
    otherwise: str


def check_file(out: Path, suffixes: Sequence[str], overwrite: bool) -> None:
    """Raise DataToolsError unless a file of a kind named by `suffixes` (".png", …) may be written to `out`."""
    if out.suffix.lower() not in suffixes:
        raise DataToolsError(f"--out {out}: a file name that ends in {' or '.join(suffixes)} is expected")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_file():
        raise DataToolsError(f"{out}: exists and is not a plain file; choose another --out")
    if not overwrite:
        raise DataToolsError(f"{out}: {REPLACE}, or choose another --out")


def check_folder(
    out: Path,
    overwrite: bool,
    kind: FolderKind,
    *,
    option: str = "--out",
    taken: str = REPLACE,
    ignored: Collection[str] = (),
    error: type[DataToolsError] = DataToolsError,
) -> None:
    """Raise `error` unless a folder of a kind may be written to `out`: it is new, empty, or one to be replaced.

    Args:
        option: the option by which the user named `out`. taken: what is said where one of this kind stands there.
        ignored: names inside `out` that nobody misses, such as what a killed process left.
    """
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise error(f"{out}: exists and is not a folder; choose another {option}")
    if all(entry.name in ignored for entry in out.iterdir()):
        return
    if not kind.is_one(out):
        raise error(f"{out}: {kind.otherwise}, never overwritten; choose another {option}")
    if not overwrite:
        raise error(f"{out}: {taken}, or choose another {option}")


# --- whole or not at all ---------------------------------------------------------------------------------------------


@contextmanager
def new_file(out: Path, suffixes: Sequence[str], overwrite: bool) -> Iterator[Path]:
    """Yield an empty file that becomes `out` when the block ends without an error; checked by `check_file`."""
    check_file(out, suffixes, overwrite)
    with atomic_file(out) as partial:
        yield partial


@contextmanager
def new_folder(out: Path, overwrite: bool, kind: FolderKind) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` when the block ends without an error; checked by `check_folder`."""
    out = out.absolute()  # "." has neither a name nor a parent
    check_folder(out, overwrite, kind)
    with atomic_folder(out) as partial:
        yield partial


@contextmanager
def atomic_file(path: Path, *, sole_writer: bool = False) -> Iterator[Path]:
    """Yield a file beside `path` that takes its place, and that of a file there, when the block ends without an error.

    Args:
        sole_writer: the caller sees to it that nobody else writes to the folder, which may then be locked. The file
            is `partial_path(path)`, and it is not there yet.
    """
    path = path.absolute()
    with _lone_partial(path) if sole_writer else _built_beside(path, _make_file) as partial:
        yield partial


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its place, and that of a folder there, when the block ends well.

    A folder that stands there is replaced only once the new one is complete.
    """
    with _built_beside(path.absolute(), _make_folder) as partial:
        yield partial


@contextmanager
def atomic_hdf5(
    path: Path,
    *,
    sole_writer: bool = False,
    core: bool = False,
    head: Callable[[memoryview], bytes] | None = None,
    head_bytes: int = 0,
) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill, which takes the place `path` when the block ends without an error.

    It is made in memory and written in one go: where the disk is full, the HDF5 library fails again at every close, in
    errors that nobody can catch, and then crashes. The same content gives the same bytes.

    Args:
        sole_writer: as for `atomic_file`.
        core: lay the file out as HDF5's core driver does. The content is the same, the bytes are not.
        head: gives what stands before the file, in HDF5's user block, from the bytes of the file.
        head_bytes: how long that is: 512 or a larger power of two.
    """
    import h5py  # loaded when it is needed: most of what is written is no HDF5

    memory = io.BytesIO()
    driver: dict[str, Any] = {"driver": "core", "backing_store": False} if core else {}
    with h5py.File(path.name if core else memory, "w", userblock_size=head_bytes or None, **driver) as file:
        yield file
        if core:
            file.flush()
            content = memoryview(file.id.get_file_image())  # without the user block
    if not core:
        content = memory.getbuffer()[head_bytes:]
    before = b"" if head is None else head(content)
    if len(before) != head_bytes:
        raise ValueError(f"a head of {len(before)} bytes where {head_bytes} were announced")
    with atomic_file(path, sole_writer=sole_writer) as partial, partial.open("wb") as target:
        target.write(before)
        target.write(content)


def partial_path(path: Path) -> Path:
    """Where `atomic_file` builds for a sole writer; what a kill leaves there, the next build writes over."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def _lone_partial(path: Path) -> Iterator[Path]:
    partial = partial_path(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _built_beside(out: Path, create: Callable[[Path], int]) -> Iterator[Path]:
    """Yield what `create` made beside `out`, which is absolute, and put it in place when the block ends well."""
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


def _make_folder(path: Path) -> int:
    """Make a folder; a descriptor of it."""
    path.mkdir()
    return os.open(path, os.O_RDONLY)


def _make_file(path: Path) -> int:
    """Make an empty file; a descriptor of it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _begin(out: Path, create: Callable[[Path], int]) -> tuple[Path, int]:
    """A new partial thing for `out`, and the descriptor that holds its lock."""
    parent = os.open(out.parent, os.O_RDONLY)
    try:
        # one at a time, or another build could take the new thing for a stale one before it is locked
        fcntl.flock(parent, fcntl.LOCK_EX)
        _remove_stale(out)
        partial = _unique_partial_path(out)
        lock = create(partial)
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(parent)
    return partial, lock


def _unique_partial_path(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial-{uuid.uuid4().hex[:8]}")


def _put_in_place(partial: Path, out: Path) -> None:
    if not partial.is_dir() or not out.exists():
        partial.replace(out)
        return
    old = _unique_partial_path(out)  # a folder that is not empty cannot be renamed over
    out.rename(old)
    try:
        partial.rename(out)
    except BaseException:
        old.rename(out)
        raise
    _remove(old)


def _remove_stale(out: Path) -> None:
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
