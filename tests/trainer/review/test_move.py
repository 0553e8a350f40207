"""`trainer apply --move` and `--undo`: whatever is killed when, no file is lost and all of it can be taken back."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from datatools.files.placing import remove
from tests.support.reviewed import decided, state_of, write_audit
from trainer.errors import TrainerError
from trainer.review.copying import apply_to_folder
from trainer.review.items import Audit
from trainer.review.undo import APPLIED_FILE, journal_path, read_journal, undo

OUTCOMES = {"cat/1.jpg": "dog", "cat/2.jpg": "remove", "dog/1.jpg": "keep", "cat/tour/1.jpg": "owl"}
CALLS = ("link", "unlink", "rename", "mkdir", "rmdir", "fsync", "open", "replace")
"""Functions of `os` by which names come and go."""
Files = dict[str, tuple[bytes, int]]


def move(audit: Audit, out: Path) -> None:
    apply_to_folder(audit, {made.sample.key: made for made in decided(audit, OUTCOMES)}, out, move=True)


def quiet(done: int, total: int) -> None:
    """No progress is shown."""


def take_back(journal: Path) -> None:
    undo(journal, None, None, quiet)


def contents(*folders: Path) -> set[bytes]:
    """What is in the files of some folders, wherever it lies."""
    return {data for folder in folders for path, (data, _) in state_of(folder).items() if path != APPLIED_FILE}


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that is killed at the `number`th of CALLS; False where it has ended before."""
    child = os.fork()
    if not child:
        calls = iter(range(1, 10**6))
        for name in CALLS:
            original = getattr(os, name)

            def counted(*arguments: Any, original: Any = original, **named: Any) -> Any:
                if next(calls) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **named)

            setattr(os, name, counted)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


@pytest.fixture
def before(folder: Path) -> Files:
    return state_of(folder)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "clean"


def test_files_move_and_removed_ones_stay(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    inode = (folder / "cat" / "1.jpg").stat().st_ino
    move(audit, out)
    assert list(state_of(folder)) == ["cat/2.jpg"]
    made = state_of(out)
    assert made["dog/1-2.jpg"] == before["cat/1.jpg"]
    assert made["owl/tour/1.jpg"] == before["cat/tour/1.jpg"]
    assert (out / "dog" / "1-2.jpg").stat().st_ino == inode
    assert len(made) == 8 + 1


def test_a_move_is_taken_back(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    move(audit, out)
    take_back(journal_path(out))
    assert state_of(folder) == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["photos"]


def test_a_folder_that_was_emptied_and_removed_comes_back(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    move(audit, out)
    (folder / "dog" / "tour").rmdir()
    (folder / "dog").rmdir()
    take_back(journal_path(out))
    assert state_of(folder) == before


def test_what_others_put_there_stays(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    move(audit, out)
    (out / "cat" / "new.jpg").write_bytes(b"new")
    done = undo(journal_path(out), None, None, quiet)
    assert done.left == ("cat",)
    assert state_of(folder) == before
    assert list(state_of(out)) == ["cat/new.jpg"]


def test_both_folders_may_have_moved(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    move(audit, out)
    folder, out = folder.rename(folder.with_name("old")), out.rename(out.with_name("new"))
    journal = out.with_name("clean.undo.jsonl")
    with pytest.raises(TrainerError, match=r"8 files .* are neither in .* tell where the folders are now"):
        take_back(journal)
    undo(journal, folder, out, quiet)
    assert state_of(folder) == before


def kill_points(work: Callable[[], object], restore: Callable[[], None]) -> Iterator[int]:
    """Every point at which `work` can be killed; after each, `restore` has to put back what was."""
    number = 1
    while killed_at(number, work):
        yield number
        restore()
        number += 1
    assert number > 20, "killed where nothing happens"


def test_a_move_killed_anywhere_can_be_taken_back(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    everything = contents(folder)
    seen = set()

    def restore() -> None:
        if journal_path(out).exists():
            take_back(journal_path(out))
        for hidden in out.parent.glob(".*"):  # or the next one had them to remove, and would be at another point
            remove(hidden)

    for _ in kill_points(lambda: move(audit, out), restore):
        assert contents(folder, out) == everything if out.exists() else state_of(folder) == before
        assert not out.exists() or contents(out) >= everything - {before["cat/2.jpg"][0]}, "the new folder is not whole"
        assert journal_path(out).exists() or state_of(folder) == before
        seen.add((journal_path(out).exists(), out.exists(), state_of(folder) == before))
        restore()
        assert state_of(folder) == before
        assert not out.exists()
    assert seen == {(False, False, True), (True, False, True), (True, True, True), (True, True, False)}
    restore()
    assert killed_at(40, lambda: move(audit, out))
    take_back(journal_path(out))
    assert list(out.parent.glob(".*"))
    move(audit, out)  # what a kill left is not in the way of the next one
    assert sorted(path.name for path in out.parent.iterdir()) == ["clean", "clean.undo.jsonl", "photos"]


def test_a_copy_killed_anywhere_is_whole_or_not_there(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    decisions = {made.sample.key: made for made in decided(audit, OUTCOMES)}
    whole: dict[str, bytes] = {}

    def restore() -> None:
        for path in (out, *out.parent.glob(".*")):
            remove(path)

    for _ in kill_points(lambda: apply_to_folder(audit, decisions, out), restore):
        assert state_of(folder) == before
        if out.exists():
            made = {path: data for path, (data, _) in state_of(out).items()}
            whole = whole or made
            assert made == whole
    assert len(whole) == 8 + 1


def test_taking_back_killed_anywhere_goes_on(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    everything = contents(folder)
    move(audit, out)
    journal = journal_path(out)

    def restore() -> None:
        if journal.exists():
            take_back(journal)
        assert not list(out.parent.glob(".*"))
        assert state_of(folder) == before
        move(audit, out)

    for _ in kill_points(lambda: take_back(journal), restore):
        assert contents(folder, *([out] if out.exists() else [])) == everything
    assert state_of(folder) == before


def test_a_failure_leaves_everything_as_it_was(
    audit: Audit, folder: Path, before: Files, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, calls = os.link, []

    def fails(source: Any, target: Any, **more: Any) -> None:
        calls.append(source)
        if len(calls) == 4:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        link(source, target, **more)

    monkeypatch.setattr(os, "link", fails)
    with pytest.raises(TrainerError, match=r"has no hard links .* leave out --move"):
        move(audit, out)
    assert state_of(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["photos"]


def test_a_failure_while_the_old_names_go_says_how_to_take_it_back(
    audit: Audit, folder: Path, before: Files, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def fails(path: Any, **more: Any) -> None:
        if str(path).endswith("photos/dog/1.jpg"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        unlink(path, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", fails)
        with pytest.raises(OSError, match=r"take that back with `trainer apply --undo .*clean\.undo\.jsonl`"):
            move(audit, out)
    take_back(journal_path(out))
    assert state_of(folder) == before


def test_another_file_in_the_old_place_is_not_written_over(audit: Audit, folder: Path, out: Path) -> None:
    move(audit, out)
    (folder / "dog" / "1.jpg").write_bytes(b"another")
    made = state_of(out)
    with pytest.raises(TrainerError, match=r"1 files \(dog/1.jpg\) have another file in their old place"):
        take_back(journal_path(out))
    assert state_of(out) == made


def test_a_link_on_the_way_back_is_refused(audit: Audit, folder: Path, out: Path, tmp_path: Path) -> None:
    move(audit, out)
    (folder / "owl").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "owl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainerError, match=r"2 files .* lie behind a link"):
        take_back(journal_path(out))
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("places", [("clean", "clean"), ("clean/cat", "clean"), ("clean", "clean/cat")])
def test_one_folder_for_both_is_refused(audit: Audit, out: Path, places: tuple[str, str]) -> None:
    move(audit, out)
    made = state_of(out)
    with pytest.raises(TrainerError, match="are one folder, or one holds the other"):
        undo(journal_path(out), out.parent / places[0], out.parent / places[1], quiet)
    assert state_of(out) == made


def test_a_second_move_to_the_same_place_is_refused(audit: Audit, folder: Path, before: Files, out: Path) -> None:
    move(audit, out)
    take_back(journal_path(out))
    journal_path(out).write_text("of an earlier one")
    with pytest.raises(TrainerError, match=r"of an earlier --move; take that back"):
        move(audit, out)
    assert state_of(folder) == before


def _line(number: int, text: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:number], text, *lines[number + 1 :]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:-1],
        lambda lines: [],
        lambda lines: [*lines, lines[-1]],
        _line(0, "[]"),
        _line(0, json.dumps({"format_version": 2})),
        _line(1, '["../x", "cat/1.jpg"]'),
        _line(1, '["/etc/passwd", "cat/1.jpg"]'),
        _line(1, '["cat/1.jpg", 3]'),
        _line(1, '["cat/1.jpg"'),
        _line(1, "[" * 100_000),
        _line(1, "\xe9"),
    ],
)
def test_a_damaged_journal_is_refused(audit: Audit, out: Path, damage: Callable[[list[str]], list[str]]) -> None:
    move(audit, out)
    path = journal_path(out)
    lines = damage(path.read_text().splitlines())
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    made = state_of(out)
    with pytest.raises(TrainerError, match="not a journal of --move") as caught:
        read_journal(path)
    assert "\n" not in str(caught.value)
    assert state_of(out) == made


def test_the_command_moves_and_takes_back(audit: Audit, folder: Path, before: Files, tmp_path: Path) -> None:
    from trainer.review.decisions import write_decisions

    write_audit(tmp_path / "audit", audit)
    write_decisions(tmp_path / "decisions.csv", audit.audit_id, decided(audit, OUTCOMES))

    def ask(*words: object) -> str:
        done = CliRunner().invoke(cli.trainer, ["apply", *map(str, words)])
        assert done.exit_code == 0, done.output
        return done.output

    base = (tmp_path / "decisions.csv", "--audit", tmp_path / "audit", "--to", tmp_path / "clean", "--move")
    assert "would have 8 files" in ask(*base, "--dry-run")
    assert state_of(folder) == before
    said = ask(*base)
    assert "8 files moved; 1 removed ones stay in" in said
    journal = tmp_path / "clean.undo.jsonl"
    assert f"to take it back: trainer apply --undo {journal}" in said
    assert "8 files would go back" in ask("--undo", journal, "--dry-run")
    assert journal.exists()
    assert "8 files are back" in ask("--undo", journal)
    assert state_of(folder) == before
