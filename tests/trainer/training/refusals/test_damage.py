"""Directories that are no runs, files that are damaged, a disk that is full: one line, and nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from datatools.format.dataset import Dataset
from tests.support.interrupted import Crasher, CrashError, Silent, assert_same, content, refusal
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.runs.replacing import check_free
from trainer.training import checkpoint
from trainer.training.loop import train

REPOSITORY = Path(__file__).parents[4]


# Directories that are no runs, and damaged ones


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("name", ["thesis.tex", "result.json", "checkpoint.h5", "metrics.csv"])
def test_a_directory_that_is_no_run_is_not_touched(
    name: str, dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("{}")
    message = refusal(config, dataset, tmp_path / "mine", resume=True)
    assert "not a run" in message
    assert "--run-dir" in message


@pytest.mark.usefixtures("no_engine")
def test_a_file_is_no_run(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("years of work")
    assert "not a folder" in refusal(config, dataset, tmp_path / "mine", resume=True)
    assert (tmp_path / "mine").read_text() == "years of work"


def test_a_link_to_a_folder_is_taken_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    link = tmp_path / "run"
    link.symlink_to(tmp_path / "scratch")
    check_free(link, overwrite=False)
    (tmp_path / "scratch" / "config.json").write_text("{}")
    check_free(link, overwrite=True)
    with pytest.raises(TrainerError, match=r"\(unfinished\); pass --resume"):
        check_free(link, overwrite=False)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    with pytest.raises(TrainerError, match="choose another --run-dir"):
        check_free(tmp_path / "nowhere", overwrite=True)


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def of_the_future(path: Path) -> None:
    with checkpoint.stamped_hdf5(path) as file:
        file.attrs["format_version"] = 99


def of_something_else(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["clean_label"] = [1, 2, 3]


def without_its_head(path: Path) -> None:
    with checkpoint.stamped_hdf5(path) as file:
        file.attrs["format_version"] = checkpoint.FORMAT_VERSION


def with_another_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("damage", [cut, emptied, of_the_future, of_something_else, without_its_head, with_another_bit])
def test_a_damaged_checkpoint_is_refused(
    damage: Callable[[Path], None], dataset: Dataset, config: RunConfig, run: Path
) -> None:
    damage(run / "checkpoint.h5")
    message = refusal(config, dataset, run, resume=True)
    assert str(run / "checkpoint.h5") in message
    assert "--overwrite" in message
    if damage is of_the_future:
        assert "99" in message


def test_a_checkpoint_of_another_network_is_refused(dataset: Dataset, config: RunConfig, run: Path) -> None:
    saved = checkpoint.read_checkpoint(run / "checkpoint.h5")
    saved.state.popitem()
    checkpoint.write_checkpoint(run / "checkpoint.h5", saved)
    with pytest.raises(TrainerError, match="another network"):
        train(config, dataset, run, Silent(), resume=True)
    assert (run / "checkpoint.h5").is_file()


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"best_test_error": '])
def test_a_damaged_result_is_one_line(text: str, dataset: Dataset, config: RunConfig, run: Path) -> None:
    (run / "result.json").write_text(text)
    assert "result.json" in refusal(config, dataset, run, resume=True)


# A disk that is full


def test_a_checkpoint_that_finds_no_room_leaves_the_last_one(
    dataset: Dataset, config: RunConfig, whole: Path, tmp_path: Path
) -> None:
    # in a process of its own, which may write no file beyond a size, so the system itself refuses
    directory = tmp_path / "run"
    with pytest.raises(CrashError):
        train(config, dataset, directory, Crasher(1))
    before = content(directory)
    script = f"""
import resource, sys
from pathlib import Path
from trainer.training import checkpoint
from trainer.errors import TrainerError
saved = checkpoint.read_checkpoint(Path(sys.argv[1]))
for limit in (0, 1000, 100_000, {len(before["checkpoint.h5"])} - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        checkpoint.write_checkpoint(Path(sys.argv[1]), saved)
    except TrainerError as error:
        print(error, flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(directory / "checkpoint.h5")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all("checkpoint.h5: cannot be written" in line and "--resume" in line for line in lines)
    assert content(directory) == before
    train(config, dataset, directory, Silent(), resume=True)
    assert_same(directory, whole)
