"""What ends a run early, and what it leaves behind: signals, losses that are no numbers, datasets that change."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datatools.format import records
from datatools.format.dataset import Dataset, open_dataset
from tests.support.interrupted import (
    Crasher,
    CrashError,
    Signaller,
    Silent,
    StopAt,
    assert_same,
    config_for,
    content,
    refusal,
    stopped,
)
from tests.support.tiny import examples, write_dataset
from trainer.config import RunConfig
from trainer.engine import make_engine
from trainer.errors import TrainerError
from trainer.metrics import EpochRow
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train
from trainer.training.stopping import DatasetWatch, RunStoppedError, Stop, check_finite, check_state, stop_on_signals


@pytest.fixture(scope="module")
def engines() -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
def one_engine(tf: Any, engines: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the same settings on the same images share an engine; a slice is a step."""

    def make(config: RunConfig, *others: Any) -> Any:
        if repr(config) not in engines:
            engines[repr(config)] = make_engine(config, *others)
        return engines[repr(config)]

    monkeypatch.setattr("trainer.training.loop.make_engine", make)
    monkeypatch.setattr("trainer.training.epochs.CPU_SLICE_SECONDS", 0.0)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """30 small images in two files, some with wrong labels."""
    ids, clean, pixels = examples(30)
    labels = np.where(ids < 9, (clean + 1) % 3, clean)
    return write_dataset(
        tmp_path / "set", (ids, labels, pixels), examples(9), labels="noisy", clean_labels=clean, train_files=2
    )


@pytest.fixture
def config(dataset: Dataset) -> RunConfig:
    return config_for("default", dataset, batch_size=10)


# Signals


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


# Losses that are no numbers


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

    def train(indices: np.ndarray, schedule: dict[str, float]) -> dict[str, np.ndarray]:
        nonlocal calls
        calls += 1
        sums: dict[str, np.ndarray] = original(indices, schedule)
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
    # two calls of the probe, then epoch 2's second step
    engine = engines[repr(config)]
    monkeypatch.setattr(engine, "train", spoil(engine, 2 + 2))
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


# A dataset that changes


def change_images(path: Path) -> None:
    data = bytearray((path / "data_batch_2.bin").read_bytes())
    data[-1] ^= 1
    (path / "data_batch_2.bin").write_bytes(data)


def change_test_images(path: Path) -> None:
    data = bytearray((path / "test_batch.bin").read_bytes())
    data[-1] ^= 1
    (path / "test_batch.bin").write_bytes(data)


def change_description(path: Path) -> None:
    (path / "dataset.json").write_text((path / "dataset.json").read_text() + " ")


def change_manifest(path: Path) -> None:
    with h5py.File(path / "manifest.h5", "r+") as file:
        file["clean_label"][0] = 1 - int(file["clean_label"][0] == 1)


def remove(name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        (path / name).unlink()

    return change


CHANGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "images": (change_images, "data_batch_2.bin", "changed"),
    "test images": (change_test_images, "test_batch.bin", "changed"),
    "dataset.json": (change_description, "dataset.json", "changed"),
    "manifest": (change_manifest, "manifest.h5", "changed"),
    "a file gone": (remove("data_batch_1.bin"), "data_batch_1.bin", "gone"),
    "dataset.json gone": (remove("dataset.json"), "dataset.json", "gone"),
    "manifest gone": (remove("manifest.h5"), "manifest.h5", "gone"),
}


class Changer(Signaller):
    """Somebody changes the dataset after a step, and may want the run to stop."""

    def __init__(self, place: StopAt, change: Callable[[], Any], signals: bool = False) -> None:
        super().__init__(place, times=int(signals))
        self.change = change

    def steps(self, done: int, total: int) -> None:
        assert self.started_with is not None
        if StopAt(self.started_with + len(self.rows), done) == self.place:
            self.change()
        super().steps(done, total)


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("signals", [False, True], ids=["at the epoch's end", "at a signal"])
def test_a_dataset_that_changes_under_a_run_is_noticed_before_anything_is_saved(
    case: str, signals: bool, dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    change, name, what = CHANGES[case]
    keep = Path(shutil.copytree(dataset.path, tmp_path / "keep"))
    directory = tmp_path / "run"
    with pytest.raises(TrainerError) as said:
        train(config, dataset, directory, Changer(StopAt(1, 2), lambda: change(dataset.path), signals))
    assert not isinstance(said.value, RunStoppedError)
    message = str(said.value)
    assert f"{dataset.path / name}: {what} while the run was under way" in message
    assert "--resume" in message
    assert "\n" not in message
    assert read_checkpoint(directory / "checkpoint.h5").progress.place == (0, 1, 0)
    shutil.rmtree(dataset.path)
    shutil.copytree(keep, dataset.path)
    train(config, dataset, directory, Silent(), resume=True)
    assert (directory / "result.json").is_file()


def test_a_dataset_that_is_merely_touched_is_no_matter(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    def touch() -> None:
        for path in dataset.path.iterdir():
            os.utime(path)
            copy = path.with_suffix(".copy")
            shutil.copy(path, copy)
            copy.replace(path)

    train(config, dataset, tmp_path / "run", Changer(StopAt(1, 2), touch))
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.parametrize("case", ["images", "test images", "a file gone"])
def test_a_dataset_that_is_not_what_it_says_is_refused_at_the_start(
    case: str, dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    change, name, _ = CHANGES[case]
    change(dataset.path)
    message = refusal(config, dataset, tmp_path / "runs" / "run")
    assert str(dataset.path / name) in message
    assert not (tmp_path / "runs").exists()


def test_what_changes_while_it_is_looked_at_is_noticed(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    original = records.file_sha256

    def slow(path: Path) -> str:
        found = original(path)
        if path.name == "data_batch_2.bin" and not changed:
            changed.append(path)
            change_images(dataset.path)
        return found

    changed: list[Path] = []
    monkeypatch.setattr("trainer.training.stopping.file_sha256", slow)
    watch = DatasetWatch(dataset)
    with pytest.raises(TrainerError, match=r"data_batch_2.bin: changed"):
        watch.check()


def test_a_watch_reads_a_file_again_only_if_it_was_touched(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = DatasetWatch(open_dataset(dataset.path))
    read: list[Path] = []
    original = records.file_sha256

    def counted(path: Path) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr("trainer.training.stopping.file_sha256", counted)
    watch.check()
    assert read == []
    os.utime(dataset.path / "test_batch.bin", (1, 1))
    watch.check()
    watch.check()
    assert read == [dataset.path / "test_batch.bin"]
