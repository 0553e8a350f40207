"""A run ends where a loss or a weight is no number, and saves nothing of it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.format.dataset import Dataset
from tests.support.interrupted import Crasher, CrashError, Signaller, Silent, StopAt, config_for, content
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train
from trainer.training.stopping import RunStoppedError, check_finite, check_state


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_step_of_the_first_bad_loss_is_named(bad: float) -> None:
    losses = {"training loss": np.array([1.0, 2, 3], np.float32), "training loss_2": np.array([1, bad, bad])}
    with pytest.raises(
        TrainerError, match=r"^here, step 12: the training loss_2 is -?(nan|inf); lower --learning-rate"
    ):
        check_finite(losses, "here", 10)
    check_finite({"training loss": np.array([1.0])}, "here", 0)


def test_a_state_that_is_not_finite_is_named() -> None:
    check_state({"weights": np.ones(3), "seeds": np.ones(2, np.uint32)}, "here")
    with pytest.raises(TrainerError, match=r"^here: velocity is not finite"):
        check_state({"weights": np.ones(3), "velocity": np.array([1, np.inf])}, "here")


def spoil(engine: Any, call: int) -> Callable[..., Any]:
    """`engine.train`, whose `call`th call gives a loss that is not a number."""
    original, calls = engine.train, 0

    def train(*arguments: Any) -> dict[str, np.ndarray]:
        nonlocal calls
        calls += 1
        sums: dict[str, np.ndarray] = original(*arguments)
        if calls == call:
            sums["loss"] = np.full_like(sums["loss"], np.nan)
        return sums

    return train


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(
    dataset: Dataset, config: RunConfig, engines: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    with pytest.raises(CrashError):
        train(config, dataset, directory, Crasher(1))
    before = content(directory)["checkpoint.h5"]
    # a resumed run has no probe: epoch 2's second step
    engine = engines[repr(config)]
    monkeypatch.setattr(engine, "train", spoil(engine, 2))
    with pytest.raises(TrainerError) as said:
        train(config, dataset, directory, Silent(), resume=True)
    assert f"{directory}: run 1, epoch 2, step 2: the training loss is nan" in str(said.value)
    assert content(directory)["checkpoint.h5"] == before
    monkeypatch.undo()
    train(config, dataset, directory, Silent(), resume=True)


def test_a_run_that_diverges_says_where_and_saves_nothing_of_it(dataset: Dataset, tmp_path: Path) -> None:
    config, directory = config_for("default", dataset, batch_size=10, learning_rate=1e30), tmp_path / "run"
    with pytest.raises(TrainerError, match=r"run 1, epoch \d, step \d.*--learning-rate") as said:
        train(config, dataset, directory, Silent())
    assert "\n" not in str(said.value)
    assert not (directory / "result.json").exists()
    if (directory / "checkpoint.h5").exists():
        state = read_checkpoint(directory / "checkpoint.h5").state
        assert all(np.isfinite(values).all() for values in state.values())


class Poisoner(Signaller):
    """A last update that leaves weights that are no numbers, with a loss before it that was one."""

    def __init__(self, place: StopAt, engines: dict[str, Any]) -> None:
        super().__init__(place, times=0)
        self.engines, self.signals = engines, False

    def steps(self, done: int, total: int) -> None:
        assert self.started_with is not None
        if StopAt(self.started_with + len(self.rows), done) == self.place:
            for engine in self.engines.values():
                kernel = engine.networks[0].trainable_variables[0]
                kernel.assign(np.full(kernel.shape, np.nan, np.float32))
            if self.signals:
                signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(("place", "signals"), [(StopAt(1, 3), False), (StopAt(1, 3), True), (StopAt(1, 1), True)])
def test_weights_that_are_no_numbers_never_reach_a_checkpoint(
    place: StopAt, signals: bool, dataset: Dataset, config: RunConfig, engines: dict[str, Any], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    poisoner = Poisoner(place, engines)
    poisoner.signals = signals
    with pytest.raises(TrainerError, match=rf"run 1, epoch 2, step {place.step}.*--learning-rate") as said:
        train(config, dataset, directory, poisoner)
    assert not isinstance(said.value, RunStoppedError)
    saved = read_checkpoint(directory / "checkpoint.h5")
    assert saved.progress.place == (0, 1, 0)
    assert all(np.isfinite(values).all() for values in saved.state.values())
    train(config, dataset, directory, Silent(), resume=True)
