"""Signals end a run early: what is saved, what is said, and whose handlers stay."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from datatools.format.dataset import Dataset
from tests.support.interrupted import CrashError, Signaller, Silent, StopAt, assert_same, stopped
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.metrics import EpochRow
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train
from trainer.training.signals import Stop, stop_on_signals
from trainer.training.stopping import RunStoppedError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_a_checkpoint_and_says_how_to_go_on(
    number: signal.Signals, dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(RunStoppedError) as said:
        train(config, dataset, tmp_path / "run", Signaller(StopAt(1, 2), number))
    message = str(said.value)
    assert f"stopped by {number.name} in run 1, epoch 2, after step 2 of 3" in message
    assert "--resume" in message
    assert "\n" not in message
    assert read_checkpoint(tmp_path / "run" / "checkpoint.h5").progress.place == (0, 1, 2)


def test_a_second_ctrl_c_ends_the_run_at_once(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config, dataset, tmp_path / "run", Signaller(StopAt(1, 2), signal.SIGINT, times=2))
    assert read_checkpoint(tmp_path / "run" / "checkpoint.h5").progress.place == (0, 1, 0)
    train(config, dataset, tmp_path / "run", Silent(), resume=True)


def test_a_second_sigterm_does_not_cost_the_checkpoint(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError):
        train(config, dataset, tmp_path / "run", Signaller(StopAt(1, 2), signal.SIGTERM, times=3))
    assert read_checkpoint(tmp_path / "run" / "checkpoint.h5").progress.place == (0, 1, 2)


def test_a_signal_in_the_last_step_of_all_is_heard(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    stopped(config, dataset, tmp_path / "run", StopAt(config.epochs - 1, 3))
    train(config, dataset, tmp_path / "run", Silent(), resume=True)
    train(config, dataset, tmp_path / "whole", Silent())
    assert_same(tmp_path / "run", tmp_path / "whole")


class AfterTheLast(Silent):
    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        super().epoch(row, seconds_left)
        if len(self.rows) == 3:
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_comes_when_all_is_trained_does_not_keep_the_run_from_finishing(
    dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    train(config, dataset, tmp_path / "run", AfterTheLast())
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.parametrize("ending", [None, CrashError, TrainerError])
def test_handlers_are_put_back_however_a_run_ends(ending: type[Exception] | None) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with stop_on_signals() as stop:
            assert signal.getsignal(signal.SIGTERM) == stop.ask
            if ending:
                raise ending("of the run")
    except (CrashError, TrainerError):
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_was_ignored_stays_so() -> None:
    # as of a background job: the Ctrl-C is meant for others
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.signal is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_trains_without_handlers(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []

    class Looker(Silent):
        def epoch(self, row: EpochRow, seconds_left: float) -> None:
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=train, args=(config, dataset, tmp_path / "run", Looker()))
    thread.start()
    thread.join()
    assert seen == [before] * 3
    assert (tmp_path / "run" / "result.json").is_file()


def test_what_was_asked_first_is_what_is_said() -> None:
    stop = Stop()
    stop.ask(signal.SIGTERM, None)
    assert stop.signal == "SIGTERM"
    with pytest.raises(KeyboardInterrupt):
        stop.ask(signal.SIGINT, None)
