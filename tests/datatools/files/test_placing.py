"""What takes a place: never neither the old nor the new, never two winners, and what a kill left is put right."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from datatools.errors import DataToolsError, TakenError
from datatools.files import placing
from datatools.files.output import FolderKind, atomic_file, atomic_folder, check_folder, new_file, new_folder
from tests.support.factories import tree

NOTES = FolderKind(lambda folder: (folder / "notes").is_file(), "a folder without notes")
Make = Callable[..., AbstractContextManager[Path]]


def write(partial: Path, text: str) -> None:
    (partial / "notes" if partial.is_dir() else partial).write_text(text)


def content(out: Path) -> str:
    return (out / "notes" if out.is_dir() else out).read_text()


def made(
    out: Path, text: str, make: Make = atomic_folder, meanwhile: Callable[[], object] = lambda: None, **options: Any
) -> None:
    with make(out, **options) as partial:
        write(partial, text)
        meanwhile()


def refusing(code: int) -> Callable[..., Any]:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "exchange", lambda path, other: False)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))


@pytest.fixture
def killed_in_the_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_exchange: None) -> Path:
    """A place whose folder was being replaced, the long way, when the process was killed."""
    out = tmp_path / "out"
    made(out, "old")
    (tmp_path / ".out.partial-0123abcd").mkdir()
    out.rename(placing.hidden_path(out, placing.OLD))
    return out


# --- replacing -------------------------------------------------------------------------------------------------------


def test_this_system_exchanges_two_folders_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    if not placing.exchange(tmp_path / "a", tmp_path / "c"):
        pytest.skip("the file system of the tests cannot")
    assert tree(tmp_path) == {"a": None, "c": None, "c/b": None}
    monkeypatch.setattr(Path, "rename", refusing(errno.EIO))  # so that no other way can do it
    with atomic_folder(tmp_path / "c"):
        pass
    assert tree(tmp_path) == {"a": None, "c": None}


def test_exchanging_with_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    if not placing.exchange(tmp_path, tmp_path):
        pytest.skip("the file system of the tests cannot")
    with pytest.raises(FileNotFoundError, match="missing"):
        placing.exchange(tmp_path / "a", tmp_path / "missing")


def test_a_folder_is_replaced_where_nothing_can_be_exchanged(tmp_path: Path, no_exchange: None) -> None:
    for text in ("old", "new"):
        made(tmp_path / "out", text)
    assert tree(tmp_path) == {"out": None, "out/notes": b"new"}


def test_a_replacement_that_fails_half_way_puts_the_old_back(
    tmp_path: Path, no_exchange: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "out", "old")
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if ".partial-" in path.name:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        made(tmp_path / "out", "new")
    assert tree(tmp_path) == {"out": None, "out/notes": b"old"}


def test_an_old_folder_without_its_name_is_there_for_the_next_build(killed_in_the_gap: Path) -> None:
    with pytest.raises(TakenError, match="out: exists already; pass --overwrite"):
        check_folder(killed_in_the_gap, False, NOTES)
    assert content(killed_in_the_gap) == "old"


def test_an_old_folder_without_its_name_survives_a_build_that_fails(killed_in_the_gap: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_folder(killed_in_the_gap):
        raise ZeroDivisionError
    assert tree(killed_in_the_gap.parent) == {"out": None, "out/notes": b"old"}


def test_an_old_folder_is_swept_once_its_place_is_taken(killed_in_the_gap: Path) -> None:
    killed_in_the_gap.mkdir()
    made(killed_in_the_gap, "new")
    assert tree(killed_in_the_gap.parent) == {"out": None, "out/notes": b"new"}


def test_what_came_into_the_place_meanwhile_is_not_ours_to_replace(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out, "old")
    with pytest.raises(DataToolsError, match="out: a folder without notes, never overwritten"):
        made(out, "new", lambda _: new_folder(out, True, NOTES), lambda: (out / "notes").rename(out / "thesis"))
    assert tree(tmp_path) == {"out": None, "out/thesis": b"old"}


# --- two writers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_of_two_builds_the_first_to_end_wins(tmp_path: Path, make: Make) -> None:
    out = tmp_path / "out"
    with pytest.raises(TakenError) as refused:
        made(out, "second", make, lambda: made(out, "first", make, overwrite=False), overwrite=False)
    assert str(refused.value).startswith(f"{out}: another process made it meanwhile; ")
    assert content(out) == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_with_overwrite_the_last_to_end_wins(tmp_path: Path, make: Make) -> None:
    out = tmp_path / "out"
    made(out, "second", make, lambda: made(out, "first", make))
    assert content(out) == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_is_never_put_over_another_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    made(tmp_path / "out", "first", atomic_file, overwrite=False)
    with pytest.raises(TakenError):
        made(tmp_path / "out", "second", atomic_file, overwrite=False)
    assert tree(tmp_path) == {"out": b"first"}


def test_a_folder_takes_the_place_of_an_empty_one_unasked(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    made(tmp_path / "out", "new", overwrite=False)
    assert content(tmp_path / "out") == "new"


def test_a_caller_can_tell_that_only_overwrite_is_missing(tmp_path: Path) -> None:
    made(tmp_path / "a.txt", "old", atomic_file)
    made(tmp_path / "out", "old")
    for build in (new_file(tmp_path / "a.txt", (".txt",), False), new_folder(tmp_path / "out", False, NOTES)):
        with pytest.raises(TakenError), build:
            pytest.fail("it is built in vain")


@pytest.mark.usefixtures("no_exchange", "no_locks")
def test_a_place_that_is_taken_in_the_middle_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, rename = tmp_path / "out", Path.rename
    made(out, "old")
    others = iter(["theirs"])

    def meanwhile(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        if path == out and (text := next(others, None)):  # now nothing stands there
            out.mkdir()
            write(out, text)
        return moved

    monkeypatch.setattr(Path, "rename", meanwhile)
    made(out, "ours")
    assert content(out) == "ours"


# --- what kills left -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_what_a_kill_left_is_swept_and_what_lives_is_not(tmp_path: Path, make: Make) -> None:
    out = tmp_path / "out"
    (tmp_path / ".out.partial-00000000").mkdir()
    (tmp_path / ".out.partial-11111111").write_text("killed")
    with make(out) as living:
        made(out, "new", make)
        assert living.exists()
        write(living, "newer")
    assert content(out) == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_only_looks_like_a_leftover_stays(tmp_path: Path) -> None:
    names = {".out.partial-notes", ".out.partial", ".out.partial-0000000", ".outer.partial-00000000", ".out.old-mine"}
    for name in names:
        (tmp_path / name).write_text("mine")
    made(tmp_path / "out", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"out", *names}


def test_a_link_that_looks_like_a_leftover_leads_nowhere(tmp_path: Path) -> None:
    made(tmp_path / "data", "mine")
    (tmp_path / ".out.partial-00000000").symlink_to(tmp_path / "data")
    made(tmp_path / "out", "new")
    assert content(tmp_path / "data") == "mine"
    assert (tmp_path / ".out.partial-00000000").is_symlink()  # the writer makes no links: it is somebody's own


def test_a_link_in_the_place_is_replaced_and_not_what_it_leads_to(tmp_path: Path) -> None:
    made(tmp_path / "data", "mine")
    (tmp_path / "out").symlink_to("data")
    made(tmp_path / "out", "new")
    assert tree(tmp_path) == {"data": None, "data/notes": b"mine", "out": None, "out/notes": b"new"}


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_without_locks_all_works_and_nothing_is_swept(tmp_path: Path, make: Make) -> None:
    out = tmp_path / "out"
    leftovers = [".out.old-00000000", ".out.partial-00000000"]
    made(out, "old", make, overwrite=False)
    for name in leftovers:
        (tmp_path / name).mkdir()
    made(out, "new", make)
    assert content(out) == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [*leftovers, "out"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EBADF])
def test_a_file_system_without_locks_says_so_in_many_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(code))
    with placing.locked(tmp_path) as alone:
        assert not alone


def test_a_lock_that_fails_for_another_reason_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), placing.locked(tmp_path):
        pytest.fail("not locked")
