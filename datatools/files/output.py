"""The one writer: files, folders and HDF5 files that appear whole or not at all, and what may be written over.

A file or folder is built beside its place, as `.NAME.partial-XXXXXXXX`, and takes it when it is complete and on the
disk (`datatools.files.placing`, `datatools.files.syncing`). A process that is killed leaves at most that hidden name,
which the next build of the same name removes. What the system refuses (no room, no permission) is raised as the OSError
that it is; it names the file by the place that it was meant for. docs/reliability.md is what this promises.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from datatools.errors import DataToolsError, TakenError
from datatools.files.placing import (
    PARTIAL,
    hidden_path,
    lock,
    locked,
    put_new,
    put_over,
    remove,
    restore,
    sweep,
    undisturbed,
)
from datatools.files.syncing import fsync_wanted, sync, sync_tree
from datatools.files.write_errors import named_as_meant, naming

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
    """Raise DataToolsError unless a file of a kind named by `suffixes` (".png", …) may be written to `out`.

    It is a TakenError where only `overwrite` is missing.
    """
    if out.suffix.lower() not in suffixes:
        raise DataToolsError(f"--out {out}: a file name that ends in {' or '.join(suffixes)} is expected")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_file():
        raise DataToolsError(f"{out}: exists and is not a plain file; choose another --out")
    if not overwrite:
        raise TakenError(f"{out}: {REPLACE}, or choose another --out")


def check_folder(
    out: Path,
    overwrite: bool,
    kind: FolderKind,
    *,
    option: str = "--out",
    taken: str = REPLACE,
    ignored: Collection[str] = (),
    error: type[DataToolsError] | None = None,
) -> None:
    """Raise an error unless a folder of a kind may be written to `out`: it is new, empty, or one to be replaced.

    A folder that a kill left hidden, in the middle of being replaced, is put back first.

    Args:
        option: the option by which the user named `out`. taken: what is said where one of this kind stands there.
        ignored: names inside `out` that nobody misses, such as what a killed process left.
        error: what is raised; where None, a TakenError if only `overwrite` is missing, else a DataToolsError.
    """
    if not os.path.lexists(out):
        restore(out.absolute())
    with undisturbed(out.absolute()):
        if not os.path.lexists(out):
            return
        refused = error or DataToolsError
        if out.is_symlink() or not out.is_dir():
            raise refused(f"{out}: exists and is not a folder; choose another {option}")
        if all(entry.name in ignored for entry in out.iterdir()):
            return
        if not kind.is_one(out):
            raise refused(f"{out}: {kind.otherwise}, never overwritten; choose another {option}")
        if not overwrite:
            raise (error or TakenError)(f"{out}: {taken}, or choose another {option}")


# --- whole or not at all ---------------------------------------------------------------------------------------------


@contextmanager
def new_file(out: Path, suffixes: Sequence[str], overwrite: bool) -> Iterator[Path]:
    """Yield an empty file that becomes `out` when the block ends without an error; checked by `check_file`.

    Raises:
        TakenError: without `overwrite`, something stands there, now or when the block ends.
    """
    check_file(out, suffixes, overwrite)
    with atomic_file(out, overwrite=overwrite) as partial:
        yield partial


@contextmanager
def new_folder(out: Path, overwrite: bool, kind: FolderKind) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` when the block ends without an error; checked by `check_folder`.

    Raises:
        TakenError: without `overwrite`, something stands there, now or when the block ends.
    """
    out = out.absolute()  # "." has neither a name nor a parent
    check_folder(out, overwrite, kind)
    with atomic_folder(out, overwrite=overwrite) as partial:
        yield partial
        if overwrite:  # who knows what was put there meanwhile
            check_folder(out, overwrite, kind)


@contextmanager
def atomic_file(path: Path, *, sole_writer: bool = False, overwrite: bool = True, fsync: bool = True) -> Iterator[Path]:
    """Yield a file beside `path` that takes its place, and that of a file there, when the block ends without an error.

    Args:
        sole_writer: the caller sees to it that nobody else writes to the folder, which may then be locked. The file
            is `partial_path(path)`, and it is not there yet; `overwrite` is not looked at.
        overwrite: whether it may take the place of a file.
        fsync: wait until it is on the disk. Not needed in a folder that is being built, which waits for all its files.

    Raises:
        TakenError: without `overwrite`, something stands there when the block ends.
    """
    path = path.absolute()
    fsync = fsync and fsync_wanted()
    with _lone_partial(path, fsync) if sole_writer else _built_beside(path, _make_file, overwrite, fsync) as partial:
        yield partial


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its place, and that of a folder there, when the block ends well.

    A folder that stands there is replaced only once the new one is complete.

    Args:
        overwrite: whether it may take the place of a folder that is not empty.

    Raises:
        TakenError: without `overwrite`, something stands there when the block ends.
    """
    with _built_beside(path.absolute(), _make_folder, overwrite, fsync_wanted()) as partial:
        yield partial


@contextmanager
def atomic_hdf5(
    path: Path,
    *,
    sole_writer: bool = False,
    fsync: bool = True,
    core: bool = False,
    head: Callable[[memoryview], bytes] | None = None,
    head_bytes: int = 0,
) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill, which takes the place `path` when the block ends without an error.

    It is made in memory and written in one go: where the disk is full, the HDF5 library fails again at every close, in
    errors that nobody can catch, and then crashes. The same content gives the same bytes.

    Args:
        sole_writer, fsync: as for `atomic_file`.
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
    with (
        atomic_file(path, sole_writer=sole_writer, fsync=fsync) as partial,
        naming(partial),
        partial.open("wb") as target,
    ):
        target.write(before)
        target.write(content)


def partial_path(path: Path) -> Path:
    """Where `atomic_file` builds for a sole writer; what a kill leaves there, the next build writes over."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def _lone_partial(path: Path, fsync: bool) -> Iterator[Path]:
    partial = partial_path(path)
    try:
        with named_as_meant(partial, path):
            yield partial
            if fsync:
                sync(partial)
            partial.replace(path)
        if fsync:
            _sync_names(path, {path.parent})
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _built_beside(out: Path, create: Callable[[Path], int], overwrite: bool, fsync: bool) -> Iterator[Path]:
    """Yield what `create` made beside `out`, which is absolute, and put it in place when the block ends well."""
    new_parents = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, held = None, None
    try:
        partial, held = _begin(out, create)
        with named_as_meant(partial, out):
            yield partial
            if fsync:
                sync_tree(partial)
            with locked(out.parent):
                (put_over if overwrite else put_new)(partial, out)
        if fsync:
            _sync_names(out, {out.parent, *(folder.parent for folder in new_parents)})
    finally:
        if held is not None:
            os.close(held)
        if partial is not None:
            remove(partial)
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
    """A new partial file or folder for `out`, and the descriptor that holds its lock."""
    # one at a time, or another build could take the new partial for a stale one before it is locked
    with locked(out.parent) as alone:
        if alone:
            sweep(out)
        partial = hidden_path(out, PARTIAL)
        with named_as_meant(partial, out):
            descriptor = create(partial)
        lock(descriptor)
    return partial, descriptor


def _sync_names(out: Path, folders: Collection[Path]) -> None:
    """Wait until the name of `out`, which is in its place, is on the disk."""
    try:
        for folder in folders:
            sync(folder)
    except OSError as error:
        reason = f"is complete, but the disk does not confirm that it keeps it ({error.strerror})"
        raise OSError(error.errno, reason, str(out)) from None
