"""What is in its place is on the disk, unless that is switched off, and errors of the disk name the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datatools.errors import DataToolsError
from datatools.files import placing
from datatools.files.output import atomic_file, atomic_folder, atomic_hdf5
from datatools.files.syncing import VARIABLE, fsync_wanted, no_fsync
from datatools.files.write_errors import naming
from tests.support.factories import tree

Event = tuple[str, str]


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What is synced and what takes its place, in order, by name; what is built is called `partial`."""
    noted: list[Event] = []

    def name(path: Path) -> str:
        parts = path.relative_to(tmp_path.parent).parts
        return "/".join(["partial" if ".partial" in part else part for part in parts][1:]) or "."

    def noting(owner: Any, function: str, event: Callable[..., Event]) -> None:
        original = getattr(owner, function)

        def noted_call(*arguments: Any, **options: Any) -> Any:
            noted.append(event(*arguments))
            return original(*arguments, **options)

        monkeypatch.setattr(owner, function, noted_call)

    # the names of the descriptors: read from the system, so that no call of the writer is believed
    noting(os, "fsync", lambda descriptor: ("sync", name(Path(f"/proc/self/fd/{descriptor}").readlink())))
    noting(placing, "exchange", lambda path, other: ("place", name(other)))
    noting(os, "link", lambda path, other: ("place", name(other)))
    noting(Path, "rename", lambda path, other: ("place", name(other)))
    noting(Path, "replace", lambda path, other: ("place", name(other)))
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("what a descriptor is open on is read from /proc")
    return noted


def fill(partial: Path) -> None:
    (partial / "deep").mkdir()
    for name in ("a", "deep/b", "deep/c"):
        (partial / name).write_text(name)


def test_a_folder_is_on_the_disk_before_it_is_in_place(tmp_path: Path, events: list[Event]) -> None:
    for overwrite in (False, True):
        events.clear()
        with atomic_folder(tmp_path / "out", overwrite=overwrite) as partial:
            fill(partial)
        assert set(events[:3]) == {("sync", f"partial/{name}") for name in ("a", "deep/b", "deep/c")}
        assert events[3:] == [("sync", "partial/deep"), ("sync", "partial"), ("place", "out"), ("sync", ".")]


@pytest.mark.parametrize("options", [{"overwrite": False}, {"overwrite": True}, {"sole_writer": True}])
def test_a_file_is_on_the_disk_before_it_is_in_place(
    tmp_path: Path, events: list[Event], options: dict[str, bool]
) -> None:
    with atomic_file(tmp_path / "out", **options) as partial:
        partial.write_text("new")
    assert events == [("sync", "partial"), ("place", "out"), ("sync", ".")]


def test_an_hdf5_file_is_on_the_disk_before_it_is_in_place(tmp_path: Path, events: list[Event]) -> None:
    with atomic_hdf5(tmp_path / "out.h5", sole_writer=True) as file:
        file["values"] = [1, 2]
    assert events == [("sync", "partial"), ("place", "out.h5"), ("sync", ".")]


def test_an_hdf5_file_in_a_folder_that_is_built_is_synced_with_it(tmp_path: Path, events: list[Event]) -> None:
    with atomic_folder(tmp_path / "out") as partial, atomic_hdf5(partial / "a.h5", sole_writer=True, fsync=False):
        pass
    assert events == [
        ("place", "partial/a.h5"),
        ("sync", "partial/a.h5"),
        ("sync", "partial"),
        ("place", "out"),
        ("sync", "."),
    ]


def test_the_names_of_new_parent_folders_are_on_the_disk_too(tmp_path: Path, events: list[Event]) -> None:
    with atomic_file(tmp_path / "new" / "newer" / "out") as partial:
        partial.write_text("new")
    assert sorted(events[2:]) == [("sync", "."), ("sync", "new"), ("sync", "new/newer")]


@pytest.mark.parametrize("how", ["variable", "block"])
def test_nothing_is_synced_where_it_is_switched_off(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "variable":
        monkeypatch.setenv(VARIABLE, "off")
        with atomic_folder(tmp_path / "out") as partial:
            fill(partial)
    else:
        with no_fsync(), atomic_folder(tmp_path / "out") as partial:
            fill(partial)
        assert fsync_wanted()
    assert events == [("place", "out")]


def test_the_switch_is_as_before_when_the_block_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("on", "off", None):
        monkeypatch.delenv(VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(VARIABLE, value)
        with no_fsync():
            assert not fsync_wanted()
        assert os.environ.get(VARIABLE) == value


def test_another_word_in_the_variable_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "no")
    for build in (atomic_folder(tmp_path / "out"), atomic_file(tmp_path / "out", sole_writer=True)):
        with pytest.raises(DataToolsError, match="DATATOOLS_FSYNC=no: on or off is expected"), build:
            pytest.fail("it is built in vain")
    assert tree(tmp_path) == {}


# --- errors ----------------------------------------------------------------------------------------------------------


def refuse(monkeypatch: pytest.MonkeyPatch, code: int, folders: bool) -> None:
    """Let syncing fail, of files or of folders."""
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if folders == Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(code, os.strerror(code))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
@pytest.mark.parametrize("folders", [False, True])
def test_a_file_system_that_has_no_fsync_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, folders: bool
) -> None:
    refuse(monkeypatch, code, folders)
    with atomic_folder(tmp_path / "out") as partial:
        fill(partial)
    assert (tmp_path / "out" / "deep" / "c").read_text() == "deep/c"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_refuses_leaves_the_old_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    refuse(monkeypatch, code, folders=False)
    with pytest.raises(OSError, match=os.strerror(code)) as refused, atomic_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("new")
    assert refused.value.filename == str(tmp_path / "out" / "a")
    assert tree(tmp_path) == {"out": None, "out/old": b"old"}


def test_a_name_that_is_not_confirmed_is_said_to_be_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EIO, folders=True)
    with (
        pytest.raises(OSError, match=r"is complete, but .* \(Input/output error\)") as refused,
        atomic_file(tmp_path / "out") as partial,
    ):
        partial.write_text("new")
    assert refused.value.filename == str(tmp_path / "out")
    assert tree(tmp_path) == {"out": b"new"}


@pytest.mark.parametrize("options", [{}, {"sole_writer": True}])
def test_a_full_disk_names_the_file_that_was_meant(tmp_path: Path, options: dict[str, bool]) -> None:
    with pytest.raises(OSError, match="No space") as refused, atomic_file(tmp_path / "out", **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert refused.value.filename == str(tmp_path / "out")


def test_an_error_of_what_is_read_keeps_its_name(tmp_path: Path) -> None:
    for name in ("/data/archive.zip", None):
        with pytest.raises(OSError, match="Input/output") as refused, atomic_file(tmp_path / "out"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        assert refused.value.filename == name
    assert tree(tmp_path) == {}


def test_an_error_without_a_file_is_given_one(tmp_path: Path) -> None:
    for name, expected in ((None, "a"), ("b", "b")):
        with pytest.raises(OSError, match="Input/output") as refused, naming(Path("a")):
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        assert refused.value.filename == expected
