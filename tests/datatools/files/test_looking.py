"""Who looks at a place while another process replaces what stands there sees the old or the new, never nothing."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datatools.errors import TakenError
from datatools.files import placing
from datatools.files.output import FolderKind, atomic_folder, check_folder
from datatools.format.dataset import open_dataset
from tests.support.tiny import examples, write_dataset

NOTES = FolderKind(lambda folder: (folder / "notes").is_file(), "a folder without notes")


def make(out: Path) -> None:
    with atomic_folder(out) as partial:
        (partial / "notes").write_text("theirs")


@contextmanager
def being_replaced(out: Path) -> Iterator[None]:
    """A folder that another process replaces the long way: nothing stands in its place for a fifth of a second."""
    descriptor, hidden = os.open(out.parent, os.O_RDONLY), placing.hidden_path(out, placing.OLD)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    out.rename(hidden)

    def put_in_place() -> None:
        hidden.rename(out)
        os.close(descriptor)

    timer = threading.Timer(0.2, put_in_place)
    timer.start()
    yield
    timer.join()


def test_who_looks_waits_for_a_replacement_under_way(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    with being_replaced(out), pytest.raises(TakenError):
        check_folder(out, False, NOTES)
    dataset = write_dataset(tmp_path / "set", examples(4), examples(2))
    with being_replaced(dataset.path):
        assert open_dataset(dataset.path).metadata == dataset.metadata


def test_a_folder_is_looked_at_under_the_lock(tmp_path: Path) -> None:
    def is_locked(folder: Path) -> bool:
        descriptor = os.open(folder.parent, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            placing.lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        return True

    make(tmp_path / "out")
    check_folder(tmp_path / "out", True, FolderKind(is_locked, "never"))
