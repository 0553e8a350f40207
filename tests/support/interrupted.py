"""Runs that are stopped at chosen places, and what makes two runs the same."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from datatools.format.dataset import Dataset
from trainer.config import RunConfig, resolve
from trainer.metrics import EpochRow
from trainer.reporters.base import Quiet, RunPlan
from trainer.training.loop import train
from trainer.training.stopping import RunStoppedError

TIMING_COLUMNS = 2
"""seconds and images_per_second, the last of metrics.csv."""


class Silent(Quiet):
    """A reporter that prints nothing at all, and keeps the notes and rows it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.rows: list[EpochRow] = []
        self.started_with: int | None = None

    def start(self, plan: RunPlan) -> None:
        self.started_with = plan.epochs_done

    def note(self, text: str) -> None:
        self.notes.append(text)

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self.rows.append(row)

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        """Say nothing."""


class StopAt(NamedTuple):
    """After so many epochs of all runs together, and so many steps of the next one."""

    epochs: int
    step: int


class Signaller(Silent):
    """Sends its own process a signal once a step is done."""

    def __init__(self, place: StopAt, number: signal.Signals = signal.SIGTERM, times: int = 1) -> None:
        super().__init__()
        self.place, self.number, self.times = place, number, times

    def steps(self, done: int, total: int) -> None:
        assert self.started_with is not None
        if StopAt(self.started_with + len(self.rows), done) == self.place:
            for _ in range(self.times):
                signal.raise_signal(self.number)


class CrashError(Exception):
    """What no run expects."""


class Crasher(Silent):
    """Raises when so many epochs of all runs are over, or in the midst of the next one at `step`."""

    def __init__(self, epochs: int, step: int | None = None) -> None:
        super().__init__()
        self.place = epochs, step

    def _now(self, step: int | None) -> None:
        assert self.started_with is not None
        if (self.started_with + len(self.rows), step) == self.place:
            raise CrashError

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        super().epoch(row, seconds_left)
        self._now(None)

    def steps(self, done: int, total: int) -> None:
        self._now(done)


def config_for(method: str, dataset: Dataset, **settings: Any) -> RunConfig:
    values = {"preset": "quick", "epochs": 3, "batch_size": 30, "learning_rate": 0.05, **settings}
    return resolve(method, dataset, **values)


def stopped(config: RunConfig, dataset: Dataset, directory: Path, place: StopAt, resume: bool = False) -> str:
    """Train until a signal stops it at `place`; the line it says."""
    with pytest.raises(RunStoppedError) as said:
        train(config, dataset, directory, Signaller(place), resume=resume)
    return str(said.value)


def content(directory: Path) -> dict[str, bytes]:
    """Every file of a directory tree, by its path inside."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def what_counts(directory: Path) -> dict[str, Any]:
    """What a finished run has to say, without the time it took."""
    rows = (directory / "metrics.csv").read_text(encoding="utf-8").splitlines()
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    assert result.pop("wall_seconds") > 0
    return {
        "metrics.csv": [row.rsplit(",", TIMING_COLUMNS)[0] for row in rows],
        "result.json": result,
        "samples.h5": (directory / "samples.h5").read_bytes(),
        "weights.h5": (directory / "weights.h5").read_bytes(),
    }


def assert_same(directory: Path, other: Path) -> None:
    """Two runs differ in nothing but the time they took; the first to differ is named."""
    one, two = what_counts(directory), what_counts(other)
    for row, expected in zip(one["metrics.csv"], two["metrics.csv"], strict=True):
        assert row == expected
    assert one["result.json"] == two["result.json"]
    for name in ("samples.h5", "weights.h5"):
        assert one[name] == two[name], f"{name} differs"


def refusal(config: RunConfig, dataset: Dataset, directory: Path, **settings: Any) -> str:
    """The one line with which `train` refuses; the directory stays as it was."""
    from trainer.errors import TrainerError

    before = content(directory) if directory.is_dir() else None
    with pytest.raises(TrainerError) as said:
        train(config, dataset, directory, Silent(), **settings)
    assert not isinstance(said.value, RunStoppedError)
    assert (content(directory) if directory.is_dir() else None) == before
    assert "\n" not in str(said.value)
    return str(said.value)
