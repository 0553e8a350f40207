"""A directory appears whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from datatools.errors import DataToolsError
from datatools.format.building import dataset_directory
from tests.support.children import environment
from tests.support.factories import clean_dataset, tree

# Builds argv[1], says so when it is in the middle of it, and waits
HALF_WAY = """
import pathlib, sys, time
from datatools.format.building import dataset_directory
with dataset_directory(pathlib.Path(sys.argv[1]), overwrite=False) as folder:
    (folder / "data_batch_1.bin").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(120)
"""


def build(out: Path, content: str, overwrite: bool = False) -> None:
    with dataset_directory(out, overwrite) as folder:
        (folder / "dataset.json").write_text(content)


def build_and_fail(out: Path, error: BaseException, overwrite: bool = False) -> None:
    with dataset_directory(out, overwrite) as folder:
        (folder / "dataset.json").write_text("new")
        raise error


def start_half_way(out: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process in the middle of building `out`, and the directory it builds in."""
    child = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, str(out)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, Path(child.stdout.readline().strip())


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_a_directory_appears_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "down" / "out"
    with dataset_directory(out, overwrite=False) as folder:
        (folder / "dataset.json").write_text("content")
        assert not out.exists()
        assert folder.parent == out.parent  # a rename across file systems would be a copy
    assert tree(tmp_path / "deep" / "down") == {"out": None, "out/dataset.json": b"content"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_inside_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        build_and_fail(tmp_path / "out", error("late"))
    assert tree(tmp_path) == {}


def test_an_error_leaves_no_new_parent_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="late"):
        build_and_fail(tmp_path / "new" / "out", ValueError("late"))
    assert tree(tmp_path) == {}


def test_an_error_while_overwriting_keeps_the_old_dataset(tmp_path: Path) -> None:
    build(tmp_path / "out", "old")
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="late"):
        build_and_fail(tmp_path / "out", ValueError("late"), overwrite=True)
    assert tree(tmp_path) == before


def test_overwriting_replaces_everything(tmp_path: Path) -> None:
    build(tmp_path / "out", "old")
    (tmp_path / "out" / "manifest.h5").write_bytes(b"of the old one")
    build(tmp_path / "out", "new", overwrite=True)
    assert tree(tmp_path) == {"out": None, "out/dataset.json": b"new"}


def test_a_dataset_is_not_replaced_unasked(tmp_path: Path) -> None:
    build(tmp_path / "out", "old")
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match="--overwrite"):
        build(tmp_path / "out", "new")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["directory", "file", "link", "dangling link"])
def test_what_is_no_dataset_is_never_replaced(tmp_path: Path, kind: str, overwrite: bool) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    build(other, "a dataset")
    if kind == "directory":
        (out / "thesis").mkdir(parents=True)
    elif kind == "file":
        out.write_text("thesis")
    else:
        out.symlink_to(other if kind == "link" else tmp_path / "missing")
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match="choose another --out"):
        build(out, "new", overwrite)
    assert tree(tmp_path) == before
    assert out.is_symlink() == kind.endswith("link")


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    build(tmp_path / "out", "new")
    assert tree(tmp_path) == {"out": None, "out/dataset.json": b"new"}


def test_the_current_directory_is_filled_or_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    try:
        build(Path(), "new")
    except (DataToolsError, OSError):
        assert tree(tmp_path) == {"inner": None}
    else:
        assert tree(tmp_path) == {"inner": None, "inner/dataset.json": b"new"}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        build(tmp_path / "out", "new")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((tmp_path / "out" / "dataset.json").stat().st_mode) == 0o666 & ~umask


def test_a_killed_build_leaves_no_directory_and_the_next_sweeps_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child, partial = start_half_way(out)
    kill(child)
    assert not out.exists()
    assert partial.is_dir()
    build(out, "second try")
    assert tree(tmp_path) == {"out": None, "out/dataset.json": b"second try"}


def test_a_living_build_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child, partial = start_half_way(out)
    try:
        build(out, "the faster one")
        assert (partial / "data_batch_1.bin").read_bytes() == b"half"
    finally:
        kill(child)
    assert (out / "dataset.json").read_text() == "the faster one"


@pytest.mark.parametrize("name", ["out", "o[u]t", "o*", "o?t"])
def test_only_leftovers_of_the_same_name_are_swept(tmp_path: Path, name: str) -> None:
    others = [tmp_path / ".other.partial-0123abcd", tmp_path / ".out-2.partial-abcd", tmp_path / ".oxt.partial-abcd"]
    own = tmp_path / f".{name}.partial-0123abcd"
    for folder in (*others, own):
        folder.mkdir()
    build(tmp_path / name, "new")
    assert all(folder.is_dir() for folder in others)
    assert not own.exists()


def test_a_real_dataset_survives_a_failed_overwrite_of_it(tmp_path: Path) -> None:
    clean_dataset(tmp_path / "clean")
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match="late"):
        build_and_fail(tmp_path / "clean", DataToolsError("late"), overwrite=True)
    assert tree(tmp_path) == before
