"""`trainer apply` on real files: what lands where, what is refused, and that nothing is half-done."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from datatools.conversion import convert
from datatools.format.dataset import open_dataset
from tests.support.own_images import names
from tests.support.reviewed import PHOTOS, audited, decided, photos, state_of, write_audit
from trainer.review.copying import apply_to_folder
from trainer.review.decisions import write_decisions
from trainer.review.items import Audit

OUTCOMES = {"cat/1.jpg": "dog", "cat/2.jpg": "remove", "dog/1.jpg": "keep", "cat/tour/1.jpg": "owl"}
EXPECTED = {
    "cat/3.png": "cat/3.png",
    "dog/1-2.jpg": "cat/1.jpg",
    "dog/1.jpg": "dog/1.jpg",
    "dog/2.jpg": "dog/2.jpg",
    "dog/tour/1.jpg": "dog/tour/1.jpg",
    "owl/1.png": "owl/1.png",
    "owl/2.png": "owl/2.png",
    "owl/tour/1.jpg": "cat/tour/1.jpg",
}


@pytest.fixture
def place(tmp_path: Path, audit: Audit) -> Path:
    """A folder with the audit and its decisions.csv beside the photos."""
    write_audit(tmp_path / "audit", audit)
    write_decisions(tmp_path / "decisions.csv", audit.audit_id, decided(audit, OUTCOMES))
    return tmp_path


def ask(place: Path, *more: object, code: int = 0) -> str:
    """What `trainer apply` says."""
    words = ["apply", place / "decisions.csv", "--audit", place / "audit", "--to", place / "clean", *more]
    done = CliRunner().invoke(cli.trainer, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


def refused(place: Path, *more: object) -> str:
    """The one line, and nothing is changed."""
    before = sorted(place.rglob("*")), state_of(place / "photos")
    said = ask(place, *more, code=1)
    assert (sorted(place.rglob("*")), state_of(place / "photos")) == before
    assert said.count("\n") == 1
    return said


def test_every_file_is_copied_into_its_class_as_it_was(place: Path) -> None:
    before = state_of(place / "photos")
    (place / "photos" / "cat" / "1.jpg").chmod(0o440)
    said = ask(place)
    assert state_of(place / "photos") == before
    made = state_of(place / "clean")
    del made["applied.csv"]
    assert made == {target: before[path] for target, path in EXPECTED.items()}
    assert (place / "clean" / "dog" / "1-2.jpg").stat().st_mode & 0o777 == 0o440
    assert "1 files got a number, as another file has their name: dog/1-2.jpg" in said
    table = [line.split() for line in said.splitlines() if line.startswith(("class", "cat", "dog", "owl", "all"))]
    assert table == [
        ["class", "keep", "change", "remove", "undecided"],
        ["cat", "0", "2", "1", "1"],
        ["dog", "1", "0", "0", "2"],
        ["owl", "0", "0", "0", "2"],
        ["all", "classes", "1", "2", "1", "5"],
    ]
    assert "8 files copied" in said


def test_what_became_of_each_file_is_listed(place: Path) -> None:
    ask(place)
    with (place / "clean" / "applied.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert len(rows) == 9
    assert {row["target"]: path for path, row in rows.items() if row["target"]} == EXPECTED
    assert rows["cat/2.jpg"]["decision"] == "remove"
    assert (rows["cat/1.jpg"]["given"], rows["cat/1.jpg"]["label"]) == ("cat", "dog")


def test_convert_reads_what_it_made(tmp_path: Path) -> None:
    flat = [path for path in PHOTOS if path.count("/") == 1]
    audit = audited(photos(tmp_path / "photos", flat))
    write_audit(tmp_path / "audit", audit)
    write_decisions(tmp_path / "decisions.csv", audit.audit_id, decided(audit, {"cat/1.jpg": "dog"}))
    ask(tmp_path)
    convert("image-folder", source=tmp_path / "clean", out=tmp_path / "data", size=8)
    made = open_dataset(tmp_path / "data")
    assert made.metadata.class_names == ("cat", "dog", "owl")
    assert {*names(made.path)["train"], *names(made.path)["test"]} == {*flat, "dog/1-2.jpg"} - {"cat/1.jpg"}


def test_a_folder_with_splits_is_read_as_one(tmp_path: Path) -> None:
    paths = [f"{split}/{name}/{n}.png" for split in ("train", "test") for name in ("cat", "dog") for n in (1, 2)]
    audit = audited(photos(tmp_path / "photos", paths), class_of=1)
    write_audit(tmp_path / "audit", audit)
    decisions = decided(audit, {"train/cat/1.png": "dog", "test/dog/1.png": "cat"})
    write_decisions(tmp_path / "decisions.csv", audit.audit_id, decisions)
    ask(tmp_path)
    convert("image-folder", source=tmp_path / "clean", out=tmp_path / "data", size=8)
    made = open_dataset(tmp_path / "data")
    assert made.labels_by_id("train").tolist() == [0, 1, 1, 1]
    assert made.labels_by_id("test").tolist() == [0, 0, 0, 1]


def test_a_dry_run_says_the_same_and_writes_nothing(place: Path) -> None:
    before = sorted(place.rglob("*"))
    said = ask(place, "--dry-run")
    assert sorted(place.rglob("*")) == before
    assert "would have 8 files" in said
    assert said.splitlines()[:-1] == ask(place).splitlines()[:-1]


def test_progress_counts_checking_and_copying(audit: Audit, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    apply_to_folder(audit, {}, tmp_path / "clean", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 18) for done in range(1, 19)]


def test_a_new_class_is_made_when_it_is_meant(place: Path, audit: Audit) -> None:
    (place / "decisions.csv").unlink()
    write_decisions(place / "decisions.csv", audit.audit_id, decided(audit, {"cat/1.jpg": "fox"}))
    assert "no class 'fox'" in refused(place)
    ask(place, "--new-classes")
    assert (place / "clean" / "fox" / "1.jpg").is_file()


def test_the_folder_may_have_moved(place: Path) -> None:
    (place / "photos").rename(place / "elsewhere")
    assert "no such folder; tell where the audited files are now with --folder" in ask(place, code=1)
    ask(place, "--folder", place / "elsewhere")
    assert len(state_of(place / "clean")) == len(EXPECTED) + 1


def test_files_that_the_audit_does_not_know_are_named(place: Path) -> None:
    (place / "photos" / "cat" / "notes.txt").write_text("a cat")
    assert "1 files of" in (said := ask(place))
    assert "are not in the audit and are left out: cat/notes.txt" in said
    assert not (place / "clean" / "cat" / "notes.txt").exists()


def test_a_class_that_loses_all_its_files_is_named(place: Path, audit: Audit) -> None:
    (place / "decisions.csv").unlink()
    decisions = decided(audit, {"owl/1.png": "cat", "owl/2.png": "remove"})
    write_decisions(place / "decisions.csv", audit.audit_id, decisions)
    assert "no images are left of 1 classes: owl" in ask(place)


def test_suggestions_that_are_not_usable_are_called_so(tmp_path: Path, folder: Path) -> None:
    audit = audited(folder, not_usable="too few images")
    write_audit(tmp_path / "audit", audit)
    write_decisions(tmp_path / "decisions.csv", audit.audit_id, [])
    assert "note: the audit calls its suggestions not usable: too few images" in ask(tmp_path)


def _linked(place: Path) -> None:
    (place / "photos" / "cat" / "3.png").rename(place / "3.png")
    (place / "photos" / "cat" / "3.png").symlink_to(place / "3.png")


def _linked_folder(place: Path) -> None:
    (place / "photos" / "cat").rename(place / "cats")
    (place / "photos" / "cat").symlink_to(place / "cats")


def _same_size(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda place: (place / "photos" / "owl" / "1.png").unlink(), "1 missing (owl/1.png)"),
        (lambda place: (place / "photos" / "cat" / "2.jpg").write_bytes(b"x"), "1 changed since the audit (cat/2.jpg)"),
        (lambda place: _same_size(place / "photos" / "cat" / "3.png"), "1 changed since the audit (cat/3.png)"),
        (_linked, "1 a link (cat/3.png)"),
        (_linked_folder, "4 a link (cat/1.jpg, cat/2.jpg, cat/3.png and 1 more)"),
    ],
)
@pytest.mark.parametrize("move", [[], ["--move"]])
def test_files_that_changed_are_refused(place: Path, change: Callable[[Path], Any], part: str, move: list[str]) -> None:
    change(place)
    said = refused(place, *move)
    assert f"of 9 files {part}; nothing was done" in said


def test_files_of_every_kind_of_change_are_counted(place: Path) -> None:
    (place / "photos" / "dog" / "2.jpg").write_bytes(b"")
    _same_size(place / "photos" / "cat" / "3.png")
    (place / "photos" / "owl" / "1.png").unlink()
    said = refused(place)
    assert "of 9 files 2 changed since the audit (cat/3.png, dog/2.jpg); 1 missing (owl/1.png); nothing" in said


@pytest.mark.parametrize(
    ("out", "part"),
    [
        ("photos", "is or holds the audited folder"),
        (".", "is or holds the audited folder"),
        ("photos/clean", "lies in the audited folder"),
        ("link/clean", "lies in the audited folder"),
        ("decisions.csv", "exists and is not a folder; choose another --to"),
        ("audit", "a folder with something in it, never overwritten; choose another --to"),
    ],
)
def test_a_place_that_will_not_do_is_refused(place: Path, out: str, part: str) -> None:
    (place / "link").symlink_to(place / "photos" / "cat")
    assert part in refused(place, "--to", place / out)


def test_an_empty_folder_will_do(place: Path) -> None:
    (place / "clean").mkdir()
    ask(place)


def test_a_folder_of_which_nothing_is_left_is_refused(place: Path, audit: Audit) -> None:
    (place / "decisions.csv").unlink()
    decisions = decided(audit, {sample.path or "": "remove" for sample in audit.samples})
    write_decisions(place / "decisions.csv", audit.audit_id, decisions)
    assert "every file is decided to be removed" in refused(place)


def test_no_class_is_called_as_the_file_beside_them(place: Path, audit: Audit) -> None:
    (place / "decisions.csv").unlink()
    write_decisions(place / "decisions.csv", audit.audit_id, decided(audit, {"cat/1.jpg": "Applied.csv"}))
    assert "a class called applied.csv" in refused(place, "--new-classes")


def test_a_file_that_changes_while_it_is_copied_is_noticed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.review import copying

    def copy_file(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        os.utime(source, (1, 1))

    monkeypatch.setattr(copying, "copy_file", copy_file)
    assert "changed while it was worked on" in ask(place, code=1)
    assert not (place / "clean").exists()


@pytest.mark.parametrize(
    "words", [[], ["decisions.csv"], ["--to", "x"], ["a", "--undo", "b"], ["--undo", "b", "--move"]], ids=" ".join
)
def test_wrong_usage(words: list[str]) -> None:
    assert CliRunner().invoke(cli.trainer, ["apply", *words]).exit_code == 2


def test_names_with_orders_reach_no_terminal(tmp_path: Path) -> None:
    # control characters cannot be in such a path, but an order of direction can
    paths = ("ca\u202et/1.png", "ca\u202et/2.png", "=dog/1.png")
    audit = audited(photos(tmp_path / "photos", paths))
    write_audit(tmp_path / "audit", audit)
    write_decisions(tmp_path / "decisions.csv", audit.audit_id, decided(audit, {paths[0]: "=dog"}))
    said = ask(tmp_path)
    assert "\u202e" not in said
    assert "ca\\u202et" in said
    assert "'=dog/1-2.png" in (tmp_path / "clean" / "applied.csv").read_text()
    assert (tmp_path / "clean" / "=dog" / "1-2.png").is_file()
