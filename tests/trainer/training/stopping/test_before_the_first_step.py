"""What is told, and what a signal does, before the first step of a run."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from datatools.format.dataset import Dataset
from tests.support.interrupted import Silent, StopAt, content, stopped
from tests.support.reported import epoch_row
from trainer.config import RunConfig
from trainer.reporters.base import RunPlan
from trainer.training.checkpoint import Place, Progress
from trainer.training.loop import train
from trainer.training.probe import note_loading, seconds_so_far
from trainer.training.stopping import RunStoppedError

TIMING = "timing a few steps…"


class Told(Silent):
    """Keeps all that it is told before the first step, in order; sends a signal at a note."""

    def __init__(self, signal_at: str = "") -> None:
        super().__init__()
        self.told: list[str] = []
        self.plans: list[RunPlan] = []
        self.signal_at = signal_at

    def preparing(self, plan: RunPlan) -> None:
        self.told.append("preparing")
        self.plans.append(plan)

    def start(self, plan: RunPlan) -> None:
        super().start(plan)
        self.told.append("start")
        self.plans.append(plan)

    def note(self, text: str) -> None:
        super().note(text)
        self.told.append(text)
        if text == self.signal_at:
            signal.raise_signal(signal.SIGINT)


def test_the_plan_is_told_before_a_step_is_timed(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    told = Told()
    train(config, dataset, tmp_path / "run", told)
    assert told.told == ["preparing", TIMING, "start"]
    assert told.plans[0].seconds is None
    assert told.plans[1].seconds is not None
    assert told.plans[0].device == told.plans[1].device


@pytest.mark.parametrize("place", [StopAt(0, 2), StopAt(1, 1), StopAt(1, 3)])
def test_a_resumed_run_times_no_step_and_has_an_estimate(
    place: StopAt, dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    stopped(config, dataset, tmp_path / "run", place)
    told = Told()
    train(config, dataset, tmp_path / "run", told, resume=True)
    assert told.told == ["preparing", "start"]
    assert told.plans[1].seconds is not None


def test_the_time_of_a_step_is_that_of_the_checkpoint() -> None:
    rows = (epoch_row(1), epoch_row(2))
    assert seconds_so_far(Progress(Place(0, 2, 0), 0.0, rows), 100) == pytest.approx(0.02)
    assert seconds_so_far(Progress(Place(0, 2, 5), 0.0, rows, seconds=10.0), 100) == pytest.approx(2.0)
    assert seconds_so_far(Progress(Place(), 0.0), 100) is None


def test_a_signal_while_steps_are_timed_leaves_nothing(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError, match="stopped by SIGINT before the first step; nothing was changed there"):
        train(config, dataset, tmp_path / "runs" / "run", Told(TIMING))
    assert not (tmp_path / "runs").exists()


def test_a_signal_while_steps_are_timed_leaves_the_run_that_was_there(
    dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    train(config, dataset, tmp_path / "run", Silent())
    before = content(tmp_path / "run")
    with pytest.raises(RunStoppedError):
        train(config, dataset, tmp_path / "run", Told(TIMING), overwrite=True)
    assert content(tmp_path / "run") == before


def test_loading_a_framework_is_said_where_it_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    note_loading("tensorflow", told)
    assert told.notes == []
    monkeypatch.delitem(sys.modules, "tensorflow")
    note_loading("tensorflow", told)
    assert told.notes == ["loading TensorFlow…"]
