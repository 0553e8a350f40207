"""The one writer: whole or not at all, and never over what is not ours."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.files.output import (
    FolderKind,
    atomic_file,
    atomic_folder,
    atomic_hdf5,
    check_folder,
    new_file,
    new_folder,
    partial_path,
)
from tests.support.factories import tree

NOTES = FolderKind(lambda folder: (folder / "notes.json").is_file(), "a folder without notes")


class OtherError(DataToolsError):
    """As another package may have one."""


@pytest.mark.parametrize("sole_writer", [False, True])
def test_a_file_takes_its_place_only_when_its_block_ends_well(tmp_path: Path, sole_writer: bool) -> None:
    path = tmp_path / "file"
    with atomic_file(path, sole_writer=sole_writer) as partial:
        partial.write_text("first")
        assert partial.parent == tmp_path
        assert not path.exists()
    assert tree(tmp_path) == {"file": b"first"}

    def fail() -> None:
        with atomic_file(path, sole_writer=sole_writer) as partial:
            partial.write_text("second")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert tree(tmp_path) == {"file": b"first"}


def test_a_sole_writer_may_hold_a_lock_on_the_folder(tmp_path: Path) -> None:
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    partial_path(tmp_path / "file").write_text("of a process that was killed")
    try:
        with atomic_file(tmp_path / "file", sole_writer=True) as partial:
            partial.write_text("new")
    finally:
        os.close(lock)
    assert tree(tmp_path) == {"file": b"new"}


def test_a_folder_replaces_another_when_it_is_complete(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("new")
        assert (tmp_path / "out" / "old").is_file()
    assert tree(tmp_path) == {"out": None, "out/new": b"new"}


def made_anew(path: Path, overwrite: bool) -> None:
    with new_folder(path, overwrite, NOTES) as folder:
        (folder / "notes.json").write_text("new")


def test_only_a_folder_of_the_kind_is_replaced(tmp_path: Path) -> None:
    made_anew(tmp_path / "out", overwrite=False)
    with pytest.raises(DataToolsError, match="exists already; pass --overwrite"):
        made_anew(tmp_path / "out", overwrite=False)
    made_anew(tmp_path / "out", overwrite=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("mine")
    with pytest.raises(DataToolsError, match="thesis: a folder without notes, never overwritten; choose another --out"):
        made_anew(tmp_path / "thesis", overwrite=True)
    with pytest.raises(DataToolsError, match="exists and is not a folder"):
        made_anew(tmp_path / "thesis" / "chapter", overwrite=True)
    assert (tmp_path / "thesis" / "chapter").read_text() == "mine"


def test_the_refusal_names_the_option_and_the_state_that_the_caller_gives(tmp_path: Path) -> None:
    made_anew(tmp_path / "run", overwrite=False)
    with pytest.raises(OtherError, match="holds a run; pass --resume to go on with it, or choose another --run-dir"):
        check_folder(
            tmp_path / "run",
            False,
            NOTES,
            option="--run-dir",
            taken="holds a run; pass --resume to go on with it",
            error=OtherError,
        )


def test_what_a_kill_left_does_not_make_a_folder_taken(tmp_path: Path) -> None:
    partial_path(tmp_path / "config.json").write_text("{")
    with pytest.raises(DataToolsError, match="never overwritten"):
        check_folder(tmp_path, True, NOTES)
    check_folder(tmp_path, False, NOTES, ignored={".config.json.partial"})


def test_a_file_is_replaced_only_by_its_like_and_when_asked(tmp_path: Path) -> None:
    def write(name: str, overwrite: bool = False) -> None:
        with new_file(tmp_path / name, (".png", ".svg"), overwrite) as partial:
            partial.write_text("picture")

    write("a.png")
    for name, overwrite, message in (
        ("a.txt", False, "ends in .png or .svg"),
        ("a.png", False, "pass --overwrite"),
        ("folder.png", True, "not a plain file"),
    ):
        (tmp_path / "folder.png").mkdir(exist_ok=True)
        with pytest.raises(DataToolsError, match=message):
            write(name, overwrite)
    write("a.png", overwrite=True)


def fill(writer: AbstractContextManager[h5py.File]) -> None:
    with writer as file:
        file.create_dataset("values", data=np.arange(2000))
        file.attrs["name"] = "x"


@pytest.mark.parametrize("core", [False, True])
def test_an_hdf5_file_is_whole_and_the_same_bytes_each_time(tmp_path: Path, core: bool) -> None:
    for name in ("a.h5", "b.h5"):
        fill(atomic_hdf5(tmp_path / name, core=core))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["values"][()].tolist() == list(range(2000))


@pytest.mark.parametrize("core", [False, True])
def test_an_hdf5_file_appears_only_when_its_block_ends_well(tmp_path: Path, core: bool) -> None:
    def fail() -> None:
        with atomic_hdf5(tmp_path / "file.h5", core=core, sole_writer=True) as file:
            file["values"] = np.arange(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("core", [False, True])
def test_what_stands_before_an_hdf5_file_is_made_of_its_bytes(tmp_path: Path, core: bool) -> None:
    def stamp(content: memoryview) -> bytes:
        return hashlib.sha256(content).hexdigest().encode().ljust(512, b"\0")

    fill(atomic_hdf5(tmp_path / "file.h5", core=core, head=stamp, head_bytes=512))
    data = (tmp_path / "file.h5").read_bytes()
    assert data[:512] == stamp(memoryview(data[512:]))
    with h5py.File(tmp_path / "file.h5") as file:
        assert len(file["values"]) == 2000


def test_a_head_of_another_length_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 bytes where 512"):
        fill(atomic_hdf5(tmp_path / "file.h5", head=lambda _: b"abc", head_bytes=512))
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("make", [atomic_file, atomic_folder], ids=["file", "folder"])
def test_new_parent_folders_go_with_what_was_not_made(
    tmp_path: Path, make: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    def fail() -> None:
        with make(tmp_path / "deep" / "down" / "out"):
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        fail()
    assert tree(tmp_path) == {}
