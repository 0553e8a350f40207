"""Who may write to a run directory: its lock, and the run that stands aside while another one replaces it.

Until the new run has a checkpoint, the run that it replaces is kept in the same directory under hidden names:

    .checkpoint.h5.old, …    its files, renamed; event files are moved to .tensorboard.old
    .config.json.old         a copy, made last: with it there, what has its own name belongs to the new run

After a kill in between, the next process that opens the directory puts the old run back, or removes it where the new
one has a checkpoint. A reader does the same, unless a living process holds the lock of the directory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datatools.files.output import FolderKind, atomic_file, check_folder, partial_path
from datatools.files.placing import lock
from datatools.files.syncing import fsync_wanted, sync
from trainer.errors import TrainerError
from trainer.runs.directory import CHECKPOINT_FILE, CONFIG_FILE, EVENTS_FOLDER, FILES, RESULT_FILE, write_errors

RUN_FOLDER = FolderKind(lambda folder: (folder / CONFIG_FILE).is_file(), "a directory that is not a run")
EVENT_FILES = "events.out.tfevents.*"
LOCK_FILE = ".lock"
"""Stands for the lock where the file system has none."""


def check_free(directory: Path, overwrite: bool) -> None:
    """See that a run may be written to `directory`; nothing is touched but what a killed process left.

    Raises:
        TrainerError: a run is there and `overwrite` is not given, or something that is no run.
    """
    put_back(directory)
    finished = (directory / RESULT_FILE).is_file()
    state, remedy = ("finished", "") if finished else ("unfinished", "--resume to go on with it, ")
    check_folder(
        directory.resolve() if directory.is_symlink() and directory.is_dir() else directory,  # a link to a run is fine
        overwrite,
        RUN_FOLDER,
        option="--run-dir",
        taken=f"holds a run already ({state}); pass {remedy}--overwrite to replace it",
        ignored={LOCK_FILE, *(partial_path(directory / name).name for name in FILES)},  # of a kill at the very start
        error=TrainerError,
    )


# --- the lock --------------------------------------------------------------------------------------------------------


@contextmanager
def run_directory(directory: Path) -> Iterator[None]:
    """Make the run directory and hold its lock, which ends with the process at the latest.

    A run that stands aside in it is put back: at the start that of a killed process, at the end that of the block.

    Raises:
        TrainerError: another process trains into it.
    """
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for folder in made:
        _sync(folder.parent)
    try:
        with _locked(directory):
            _put_back(directory)
            try:
                yield
            finally:
                with suppress(OSError):  # the next process does it
                    _put_back(directory)
    finally:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            has_locks = lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainerError(
                f"{directory}: another run is writing there now; wait for it, or choose another --run-dir"
            ) from None
        if has_locks:
            yield
        else:
            with _lock_file(directory / LOCK_FILE):
                yield
    finally:
        os.close(descriptor)


@contextmanager
def _lock_file(path: Path) -> Iterator[None]:
    """Hold a lock that is a file; a kill leaves it, and only a person can tell whether its process lives."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
    except FileExistsError:
        owner = path.read_text(encoding="utf-8", errors="replace")[:200] or "another process"
        raise TrainerError(
            f"{path.parent}: {owner} writes there, or was killed: this file system has no locks (flock) to tell; wait "
            f"for it, or remove {path} if it has ended"
        ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


# --- the run that is replaced ----------------------------------------------------------------------------------------


def set_aside(directory: Path) -> None:
    """Let the run in `directory` stand aside; its config.json stays until a new one is written over it.

    The lock is held, and no other run stands aside.
    """
    config = directory / CONFIG_FILE
    copy = old_path(config)
    for path in (copy, *(directory / name for name in FILES)):
        partial_path(path).unlink(missing_ok=True)
    if not config.is_file():
        return
    for path, hidden in _moved(directory):
        if os.path.lexists(path):
            hidden.parent.mkdir(exist_ok=True)
            path.replace(hidden)
    # on the disk before the copy: with the copy there, a checkpoint.h5 is taken for the new run's
    _sync(directory)
    with write_errors(copy), atomic_file(copy, sole_writer=True) as partial:
        shutil.copyfile(config, partial)


def discard_replaced(directory: Path) -> None:
    """Remove the run that stands aside, now that the new one has a checkpoint; the lock is held.

    What cannot be removed stays hidden, and is tried again by the next process.
    """
    copy = old_path(directory / CONFIG_FILE)
    if copy.is_file():
        with suppress(OSError):
            for _, hidden in _moved(directory):
                hidden.unlink(missing_ok=True)
            copy.unlink()  # the last: without it, the others would be put back
            _remove_events_folder(directory)


def put_back(directory: Path) -> None:
    """Put back the run that a killed process left aside, where no living one is at work; for those who only read.

    Where the file system has no locks, or the directory cannot be written to, everything stays as it is.
    """
    hidden_paths = (old_path(directory / CONFIG_FILE), *(hidden for _, hidden in _moved(directory)))
    if not any(map(os.path.lexists, hidden_paths)):
        return
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            if lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _put_back(directory)
        finally:
            os.close(descriptor)


def _put_back(directory: Path) -> None:
    """Put back the run that stands aside, or remove it where the new one has a checkpoint; the lock is held."""
    config = directory / CONFIG_FILE
    copy = old_path(config)
    if copy.is_file() and (directory / CHECKPOINT_FILE).is_file():
        discard_replaced(directory)
        return
    if copy.is_file():
        for path, _ in _moved(directory):  # of the new run
            path.unlink(missing_ok=True)
        copy.replace(config)
        _sync(directory)
    # without the copy, what has no hidden name is the old run's too
    for path, hidden in _moved(directory):
        if os.path.lexists(hidden):
            path.parent.mkdir(exist_ok=True)
            hidden.replace(path)
    _remove_events_folder(directory)


def old_path(path: Path) -> Path:
    """The hidden name of a file of a run that stands aside, or of the folder of its event files."""
    return path.with_name(f".{path.name}.old")


def _moved(directory: Path) -> list[tuple[Path, Path]]:
    """What is moved of a run that stands aside, there or not: each path with its hidden one."""
    paths = [directory / name for name in FILES if name != CONFIG_FILE]
    events = directory / EVENTS_FOLDER
    names = {path.name for folder in (events, old_path(events)) for path in folder.glob(EVENT_FILES)}
    return [
        *((path, old_path(path)) for path in paths),
        *((events / name, old_path(events) / name) for name in sorted(names)),
    ]


def _remove_events_folder(directory: Path) -> None:
    with suppress(OSError):  # there is none
        old_path(directory / EVENTS_FOLDER).rmdir()


def _sync(folder: Path) -> None:
    if fsync_wanted():
        sync(folder)
