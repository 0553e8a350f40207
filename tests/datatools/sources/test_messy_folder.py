"""Folders as they are: nested, with what the system put there, with bad files of all kinds, odd links and names."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.errors import DataToolsError
from tests.support.datatools_command import Command
from tests.support.factories import tree
from tests.support.own_images import PIXELS, names, put, refusal


def pets(folder: Path, each: int = 4) -> Path:
    """Two classes of a few images."""
    for name in ("cat", "dog"):
        for number in range(each):
            put(folder / name / f"{number}.png")
    return folder


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def every_path(dataset: Path) -> list[str]:
    return sorted(path for paths in names(dataset).values() for path in paths)


# --- which class -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [False, True])
def test_an_image_belongs_to_the_first_folder_however_deep_it_lies(tmp_path: Path, split: bool) -> None:
    source = tmp_path / "source"
    for side in ("train/", "test/") if split else ("",):
        pets(source / side)
        put(source / side / "cat" / "2023" / "may" / "a.png")
        put(source / side / "cat" / "dog" / "b.png")
    made = convert("image-folder", source=source, out=tmp_path / "out")
    assert made.dataset.metadata.class_names == ("cat", "dog")
    for side, paths in names(made.dataset.path).items():
        classes = [path.split("/")[1 if split else 0] for path in paths]
        assert [("cat", "dog")[label] for label in made.dataset.labels(side)] == classes
    assert (
        sum(path.count("/") > 1 + split for paths in names(made.dataset.path).values() for path in paths)
        == 2 + 2 * split
    )
    assert made.notices == (f"images in folders below a class folder, which belong to that class: {2 + 2 * split}",)


def test_an_image_in_no_class_folder_is_bad_and_another_file_there_is_passed_over(tmp_path: Path) -> None:
    source = pets(tmp_path / "source")
    (source / "labels.csv").write_text("x")
    assert convert("image-folder", source=source, out=tmp_path / "a").notices == (
        "files beside the class folders, passed over: 1 (labels.csv)",
    )
    put(source / "loose.png")
    assert "loose.png: in no class folder" in refusal(source, tmp_path)


def test_one_class_and_classes_without_a_test_image_are_said(tmp_path: Path) -> None:
    for number in range(2):
        put(tmp_path / "one" / "cat" / f"{number}.png")
    assert "one class only, cat" in convert("image-folder", source=tmp_path / "one", out=tmp_path / "a").notices[0]
    source = pets(tmp_path / "source")
    put(source / "eel" / "only.png")
    made = convert("image-folder", source=source, out=tmp_path / "b")
    assert made.notices == (f"{source}: no test image of 1 of 3 classes: eel",)
    assert made.dataset.labels("train").tolist().count(2) == 1


def test_all_empty_class_folders_are_named_at_once(tmp_path: Path) -> None:
    source = pets(tmp_path / "source")
    (source / "eel" / "deeper").mkdir(parents=True)
    (source / "fox").mkdir()
    message = refusal(source, tmp_path)
    assert f"{source / 'eel'}: no images in this class folder, nor in fox" in message


# --- what is no image ------------------------------------------------------------------------------------------------


def test_what_the_system_put_there_is_passed_over_and_counted(tmp_path: Path) -> None:
    source = pets(tmp_path / "source")
    before = tree(convert("image-folder", source=source, out=tmp_path / "a" / "out").dataset.path)
    for name in ("Thumbs.db", "cat/thumbs.db", "cat/.DS_Store", "cat/._0.png", "dog/Desktop.ini", "dog/.hidden.png"):
        (source / name).write_bytes(b"x")
    for name in ("__MACOSX/cat/._0.png", "cat/.ipynb_checkpoints/0.png"):
        put(source / name)
    made = convert("image-folder", source=source, out=tmp_path / "b" / "out")
    assert tree(made.dataset.path) == before
    (notice,) = made.notices
    assert notice.startswith(f"{source}: hidden and system files and folders, passed over: 8 (")


def messy(folder: Path) -> tuple[Path, list[list[str]]]:
    """A folder with a bad file of many kinds, and what is said of them."""
    source = pets(folder)
    (source / "cat" / "notes.txt").write_text("x")
    (source / "cat" / "=1+1.png").write_bytes(b"")
    (source / "dog" / "bad.jpg").write_bytes(b"nothing")
    (source / "dog" / "loop").symlink_to("..")
    (source / "dog" / "leads.png").symlink_to("gone")
    (source / "dog" / "self.png").symlink_to("self.png")
    put(source / "dog" / "x.png").rename(source / "dog" / os.fsdecode(b"caf\xe9.png"))
    return source, [
        ["cat/=1+1.png", "not a readable image (empty)"],
        ["cat/notes.txt", "not an image file (png, jpg, tif, gif, bmp, webp, heic, avif)"],
        ["dog/bad.jpg", "not a readable image (not recognised)"],
        ["dog/caf\\udce9.png", "a name that is no UTF-8 text (rename it)"],
        ["dog/leads.png", "a link that leads nowhere"],
        ["dog/loop", f"a link to a folder that is read already ({source})"],
        ["dog/self.png", "cannot be looked at (Too many levels of symbolic links)"],
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_all_bad_files_are_counted_at_once_and_nothing_is_written(tmp_path: Path, workers: int) -> None:
    source, bad = messy(tmp_path / "source")
    message = refusal(source, tmp_path, bad_files=tmp_path / "bad.csv", workers=workers)
    assert message.startswith(f"{source}: 7 of 15 files cannot be used (2 not a readable image, ")
    assert "and 4 more; repair or convert them, or pass --skip-bad" in message
    assert "remove" not in message
    assert "delete" not in message
    assert rows(tmp_path / "bad.csv") == [["path", "reason"], *bad]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_left_out_is_recorded_in_the_dataset(tmp_path: Path, workers: int) -> None:
    source, bad = messy(tmp_path / "source")
    made = convert("image-folder", source=source, out=tmp_path / "out", skip_bad=True, workers=workers)
    assert rows(made.dataset.path / "skipped.csv") == [["path", "reason"], *bad]
    assert made.dataset.metadata.skipped is not None
    assert made.dataset.metadata.skipped["files"] == 7
    assert made.notices[-7:] == tuple(f"left out: {source}/{path}: {reason}" for path, reason in bad)
    assert every_path(made.dataset.path) == [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(4)]


def test_a_draw_that_hits_bad_files_alone_is_said_and_a_class_that_is_not_learned_refused(tmp_path: Path) -> None:
    source = pets(tmp_path / "source", 2)
    drawn = names(convert("image-folder", source=source, out=tmp_path / "before").dataset.path)
    (source / drawn["test"][0]).write_bytes(b"x")
    made = convert("image-folder", source=source, out=tmp_path / "out", skip_bad=True)
    assert made.notices[0] == f"{source}: no readable test image of cat"
    (source / drawn["train"][0]).write_bytes(b"x")
    assert "no readable train image of cat" in refusal(source, tmp_path, skip_bad=True)
    put(source / drawn["train"][0])
    (source / drawn["test"][1]).write_bytes(b"x")
    assert "no readable test image of cat, dog" in refusal(source, tmp_path, skip_bad=True)


def test_the_report_is_written_where_nothing_is_bad_and_replaces_only_when_told(tmp_path: Path) -> None:
    source, report = pets(tmp_path / "source"), tmp_path / "bad.csv"
    convert("image-folder", source=source, out=tmp_path / "out", bad_files=report)
    assert rows(report) == [["path", "reason"]]
    with pytest.raises(DataToolsError, match="exists already"):
        convert("image-folder", source=source, out=tmp_path / "other", bad_files=report)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("bad", ["damaged", "no image"])
def test_the_report_is_written_where_no_image_can_be_read(tmp_path: Path, bad: str) -> None:
    source = pets(tmp_path / "source")
    for path in source.rglob("*.png"):
        path.write_bytes(b"x")
        if bad == "no image":
            path.rename(path.with_suffix(".txt"))
    assert "8 of 8 files cannot be used, nothing is written: " in refusal(
        source, tmp_path, bad_files=tmp_path / "bad.csv"
    )
    assert len(rows(tmp_path / "bad.csv")) == 9


def test_names_that_a_spreadsheet_would_compute_are_text_in_the_report(tmp_path: Path) -> None:
    source = pets(tmp_path / "source")
    put(source / "=cmd" / "a.png")
    (source / "=cmd" / "b.png").write_bytes(b"x")
    refusal(source, tmp_path, bad_files=tmp_path / "bad.csv")
    assert rows(tmp_path / "bad.csv")[1][0] == "'=cmd/b.png"


def test_of_many_the_first_have_a_line(tmp_path: Path) -> None:
    source = pets(tmp_path / "source")
    for number in range(25):
        (source / "cat" / f"bad{number:02}.png").write_bytes(b"x")
    made = convert("image-folder", source=source, out=tmp_path / "out", skip_bad=True)
    assert len(made.notices) == 11
    assert made.notices[-1] == "left out: 25 files in all; skipped.csv lists them"


@pytest.mark.parametrize("skip_bad", [False, True])
def test_what_is_bad_behind_the_limit_is_not_looked_at(tmp_path: Path, skip_bad: bool) -> None:
    source = tmp_path / "source"
    for side in ("train", "test"):
        pets(source / side)
    (source / "train" / "cat" / "2.png").write_bytes(b"x")
    made = convert("image-folder", source=source, out=tmp_path / "out", skip_bad=skip_bad, limit=2)
    assert made.dataset.metadata.skipped is None
    more: dict[str, Any] = {"limit": 3}
    assert "1 of " in refusal(source, tmp_path, **more)
    made = convert("image-folder", source=source, out=tmp_path / "more", skip_bad=True, **more)
    assert names(made.dataset.path)["train"] == [f"train/cat/{number}.png" for number in (0, 1, 3)]


def test_a_folder_that_cannot_be_read_is_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = pets(tmp_path / "source")
    put(source / "cat" / "locked" / "a.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:  # permissions do not keep root out
        if str(path).rstrip("/").endswith(("locked", "shut")):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "cat/locked: a folder that cannot be read (Permission denied)" in refusal(source, tmp_path)
    shut = pets(tmp_path / "shut")
    assert f"{shut}: cannot be read (Permission denied); look at its permissions" in refusal(shut, tmp_path)


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    source = pets(tmp_path / "source")
    pets(tmp_path / "elsewhere")
    (source / "eel").symlink_to(tmp_path / "elsewhere" / "cat")
    made = convert("image-folder", source=source, out=tmp_path / "out")
    assert made.dataset.metadata.class_names == ("cat", "dog", "eel")
    (source / "a hound").symlink_to("dog")
    assert "a hound: a link to a folder that is read already (dog)" in refusal(source, tmp_path)


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_how_images_were_made_square_is_said_and_recorded(tmp_path: Path) -> None:
    source = pets(tmp_path / "source")
    put(source / "cat" / "square.png", PIXELS[:, :10])
    for fit, said in (("crop", "cut to the square"), ("pad", "black bars"), ("stretch", "distorts")):
        made = convert("image-folder", source=source, root=tmp_path / "data", size=8, fit=fit)
        assert made.dataset.path.name == ("source-8x8" if fit == "crop" else f"source-8x8-{fit}")
        assert made.dataset.metadata.resized == {"side": 8, "filter": "lanczos", "fit": fit}
        assert made.dataset.metadata.decoded == {"not_square": 8}
        assert any("not square: 8, " in notice and said in notice for notice in made.notices)
    default = convert("image-folder", source=source, out=tmp_path / "default" / "source-8x8", size=8)
    assert tree(default.dataset.path) == tree(tmp_path / "data" / "source-8x8")


def test_square_images_give_the_same_bytes_however_they_are_fitted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(4):
        put(source / "cat" / f"{number}.png", np.roll(PIXELS[:, :10], number))
    batches = [
        next(iter(convert("image-folder", source=source, out=tmp_path / fit, size=6, fit=fit).dataset.batches("train")))
        for fit in ("crop", "pad", "stretch")
    ]
    assert batches[0].tobytes() == batches[1].tobytes() == batches[2].tobytes()


def test_a_fit_without_a_size_is_refused(tmp_path: Path) -> None:
    assert "--fit pad" in refusal(pets(tmp_path / "source"), tmp_path, fit="pad")


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_lists_bad_files_and_info_says_what_is_known(datatools: Command, tmp_path: Path) -> None:
    source, bad = messy(tmp_path / "photos")
    convert_it = ("convert", "--dataset", "image-folder", "--source", "photos", "--size", 8)
    refused = datatools(*convert_it, "--bad-files", "bad.csv")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert len(rows(tmp_path / "bad.csv")) == 8
    assert datatools(*convert_it, "--skip-bad", "--fit", "pad").code == 0
    said = datatools("info", "data/photos-8x8-pad").out
    assert "labels      unknown: as they were given, in the test split too; nobody knows how many are wrong" in said
    assert "resized     8 x 8 by pad" in said
    assert "left out    7 files, skipped.csv" in said
    assert "ok      skipped.csv: unchanged" in datatools("verify", "data/photos-8x8-pad").out
    (tmp_path / "data" / "photos-8x8-pad" / "skipped.csv").write_text("path,reason\n")
    assert datatools("verify", "data/photos-8x8-pad").code == 1
    assert len(bad) == 7
    assert source.is_dir()


@pytest.mark.parametrize("option", [["--fit", "pad"], ["--bad-files", "bad.csv"]])
def test_other_sets_refuse_what_is_for_folders(datatools: Command, option: list[str]) -> None:
    refused = datatools("convert", "--dataset", "digits", *option)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert f"{option[0]}: for image-folder alone" in refused.err
