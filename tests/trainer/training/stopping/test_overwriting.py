"""A run that --overwrite replaces is there, whole, until the new one has a checkpoint."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datatools.format.dataset import Dataset
from tests.support.interrupted import Crasher, CrashError, Signaller, Silent, StopAt, content
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.report.collect import collect
from trainer.reporters.base import RunPlan
from trainer.runs.run import load_run
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train
from trainer.training.stopping import RunStoppedError


class Watcher(Silent):
    """Looks at the directory while the run goes on."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.seen: list[set[str]] = []

    def start(self, plan: RunPlan) -> None:
        super().start(plan)
        self.seen.append({path.name for path in self.directory.iterdir()})

    def epoch(self, row: Any, seconds_left: float) -> None:
        super().epoch(row, seconds_left)
        self.seen.append({path.name for path in self.directory.iterdir()})


@pytest.fixture
def finished(dataset: Dataset, config: RunConfig, tmp_path: Path) -> Path:
    """A finished run, with event files and a file that no run wrote."""
    directory = tmp_path / "runs" / "run"
    train(config, dataset, directory, Silent())
    (directory / "notes.txt").write_text("of a person")
    (directory / "tensorboard").mkdir()
    (directory / "tensorboard" / "events.out.tfevents.1").write_text("of the first run")
    (directory / "tensorboard" / "notes.txt").write_text("of a person")
    return directory


@pytest.fixture
def other(config: RunConfig) -> RunConfig:
    return replace(config, epochs=2)


class Photographer(Silent):
    """Copies the directory before the first step, and ends the run."""

    def __init__(self, directory: Path, copy: Path) -> None:
        super().__init__()
        self.directory, self.copy = directory, copy

    def start(self, plan: RunPlan) -> None:
        shutil.copytree(self.directory, self.copy)
        raise CrashError


def kill_before_a_checkpoint(config: RunConfig, dataset: Dataset, directory: Path, tmp_path: Path) -> None:
    """Bring about what a kill in the first epoch of a run that replaces another leaves."""
    with pytest.raises(CrashError):
        train(config, dataset, directory, Photographer(directory, tmp_path / "copy"), overwrite=True)
    shutil.rmtree(directory)
    (tmp_path / "copy").rename(directory)


def test_a_run_that_fails_before_its_checkpoint_leaves_the_old_one(
    finished: Path, other: RunConfig, dataset: Dataset
) -> None:
    before = content(finished)
    with pytest.raises(CrashError):
        train(other, dataset, finished, Crasher(0, 1), overwrite=True)
    assert content(finished) == before


def test_the_next_resume_finds_the_run_that_a_killed_one_replaced(
    finished: Path, other: RunConfig, config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    before = content(finished)
    kill_before_a_checkpoint(other, dataset, finished, tmp_path)
    with pytest.raises(TrainerError, match="the run there is another one, in --epochs 2"):
        train(other, dataset, finished, Silent(), resume=True)
    assert content(finished) == before
    train(config, dataset, finished, Silent(), resume=True)
    assert content(finished) == before


def test_readers_find_the_run_that_a_killed_one_replaced(
    finished: Path, other: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    before = content(finished)
    for read in (lambda: load_run(finished).result, lambda: collect([finished.parent])[0][0].result):
        kill_before_a_checkpoint(other, dataset, finished, tmp_path)
        assert read()["last_test_error"] == pytest.approx(load_run(finished).result["last_test_error"])
        assert content(finished) == before


def test_a_reader_leaves_a_directory_alone_while_a_process_trains(
    finished: Path, other: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    kill_before_a_checkpoint(other, dataset, finished, tmp_path)
    between = content(finished)
    descriptor = os.open(finished, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert load_run(finished).config.epochs == 2
        assert content(finished) == between
    finally:
        os.close(descriptor)
    assert load_run(finished).config.epochs == 3


def test_the_old_run_goes_with_the_first_checkpoint_of_the_new(
    finished: Path, other: RunConfig, dataset: Dataset
) -> None:
    watcher = Watcher(finished)
    train(other, dataset, finished, watcher, overwrite=True)
    start, first, _ = watcher.seen
    assert {".checkpoint.h5.old", ".result.json.old", ".config.json.old", ".tensorboard.old"} < start
    assert not {"checkpoint.h5", "result.json"} & start
    assert first == {"config.json", "metrics.csv", "checkpoint.h5", "notes.txt", "tensorboard"}
    assert [path.name for path in (finished / "tensorboard").iterdir()] == ["notes.txt"]


def test_a_signal_in_the_first_epoch_saves_the_new_run(finished: Path, other: RunConfig, dataset: Dataset) -> None:
    with pytest.raises(RunStoppedError):
        train(other, dataset, finished, Signaller(StopAt(0, 1)), overwrite=True)
    others = {"notes.txt", "tensorboard/notes.txt"}
    assert set(content(finished)) == {"config.json", "metrics.csv", "checkpoint.h5"} | others
    assert read_checkpoint(finished / "checkpoint.h5").progress.place == (0, 0, 1)
    train(other, dataset, finished, Silent(), resume=True)
    assert load_run(finished).config.epochs == 2


def test_rows_of_metrics_are_on_the_disk_before_the_checkpoint(
    dataset: Dataset, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    original = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    train(config, dataset, tmp_path / "runs" / "run", Silent())
    assert synced[:2] == ["runs", tmp_path.name]
    checkpoints = [place for place, name in enumerate(synced) if name == ".checkpoint.h5.partial"]
    assert len(checkpoints) == config.epochs
    assert all(synced[place - 1 : place + 2 : 2] == ["metrics.csv", "run"] for place in checkpoints)
    for name in ("config.json", "metrics.csv", "samples.h5", "weights.h5", "result.json"):
        assert f".{name}.partial" in synced
