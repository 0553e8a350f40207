"""Calls that end after some minutes, and go on at the next one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench_scripts import Silent
from tests.support.reported import epoch_row, run_plan
from trainer.errors import TrainerError
from trainer.training.signals import stop_on_signals
from trainer.training.stopping import RunStoppedError


def test_cpu_slice_ends_a_run_between_steps(bench: Callable[[str], Any]) -> None:
    own = bench("slices").Slice(0.0, Silent())
    assert own.has_room(), "the first run of a call always begins, or no call would get any further"
    own.start(run_plan())
    with stop_on_signals() as stop:
        own.epoch(epoch_row(1), 10.0)
        assert not own.over, "an epoch that is over is left alone: it is saved, and evaluated"
        own.steps(1, 10)
        assert stop.signal == "SIGTERM"
    assert own.over
    assert not own.has_room()


@pytest.fixture
def gpu_call(bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, int]]:
    """A call of 8.5 minutes on a made-up clock, in which one run trains on a GPU.

    It begins 10 s after the call, as long as loading takes. Given: seconds to compile, of its first epoch and of each
    later one, and of its epochs in earlier calls. Gives the slice, and the epochs made before it ended the run.
    """
    slices = bench("slices")
    now = 0.0
    monkeypatch.setattr(slices.time, "monotonic", lambda: now)

    def call(compile_seconds: float, first: float, later: float, earlier: Sequence[float] = ()) -> tuple[Any, int]:
        nonlocal now
        now = 0.0
        own = slices.Slice(8.5, Silent(), started=0.0)
        assert own.has_room()
        now += 10 + compile_seconds
        rows = tuple(replace(epoch_row(1), seconds=seconds) for seconds in earlier)
        own.start(run_plan(on_cpu=False, rows=rows, compile_seconds=compile_seconds))
        with suppress(RunStoppedError):
            for number in range(1000):
                now += later if number else first
                own.epoch(epoch_row(1), 1e4)
        assert own.over
        return own, own.shown.epochs

    return call


@pytest.mark.parametrize(
    ("compile_seconds", "first", "later", "epochs"),
    [
        (60.0, 30.0, 30.0, 14),  # at 460 s 50 s are left, and 1.2 x 30 + 5 = 41 are wanted; after that 20 are left
        (0.0, 30.0, 30.0, 16),  # the program was kept
        (60.0, 70.0, 20.0, 19),  # the first epoch chooses algorithms, which says nothing of the next one
        (60.0, 400.0, 4.0, 9),  # and still nothing where it took nearly all of the call
    ],
)
def test_gpu_slice_ends_a_run_when_the_next_epoch_would_not_fit(
    gpu_call: Callable[..., tuple[Any, int]], compile_seconds: float, first: float, later: float, epochs: int
) -> None:
    own, made = gpu_call(compile_seconds, first, later)
    assert made == epochs
    assert own.left >= 0
    assert own.left < 1.2 * later + 5
    assert not own.has_room(), "another run would have to compile, and to train an epoch"


def test_gpu_slice_ends_late_once_where_an_epoch_takes_more_than_half_of_it(
    gpu_call: Callable[..., tuple[Any, int]],
) -> None:
    own, made = gpu_call(60.0, 300.0, 300.0)
    assert made == 2, "one epoch says nothing of the next one, so another is begun"
    assert own.left < 0
    own, made = gpu_call(60.0, 300.0, 300.0, earlier=[300.0, 300.0])
    assert made == 1, "earlier calls have told what an epoch takes"
    assert own.left > 0


def test_gpu_slice_takes_of_earlier_calls_the_shortest_epoch(gpu_call: Callable[..., tuple[Any, int]]) -> None:
    # of three earlier calls with a first epoch of 350 s each, one had time for another one
    assert gpu_call(60.0, 350.0, 20.0, earlier=[350.0, 20.0, 350.0, 350.0])[1] == 5
    # an earlier call was on a slower device
    assert gpu_call(60.0, 30.0, 30.0, earlier=[900.0] * 5)[1] == 14


def test_gpu_slice_has_room_for_another_run_that_compiles_twice_as_long(
    bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = bench("slices")
    now = 0.0
    monkeypatch.setattr(slices.time, "monotonic", lambda: now)
    own = slices.Slice(8.5, Silent(), started=0.0)
    assert own.has_room()
    now = 70.0
    own.start(run_plan(on_cpu=False, compile_seconds=60.0))
    now = 100.0
    own.epoch(epoch_row(1), 0.0)
    now = 510.0 - 191
    assert own.has_room(), "10 s to load, and twice 60 s to compile and 30 s of an epoch"
    now = 510.0 - 189
    assert not own.has_room()


def test_gpu_slice_lets_a_run_finish_after_its_last_epoch(bench: Callable[[str], Any]) -> None:
    own = bench("slices").Slice(0.0, Silent())
    own.start(run_plan(on_cpu=False))
    own.epoch(epoch_row(1), 0.0)
    assert not own.over


class FakePlan:
    """A plan whose training does `act`."""

    def __init__(self, act: Callable[[Any], None]) -> None:
        self.act, self.done = act, False

    def finished(self, work: Path) -> bool:
        return self.done

    def train(self, work: Path, reporter: Any, force: bool) -> None:
        self.act(reporter)
        self.done = True


def test_runs_are_made_in_order_until_the_slice_is_over(bench: Callable[[str], Any], tmp_path: Path) -> None:
    slices = bench("slices")
    own, written = slices.Slice(None, Silent()), []

    def over(reporter: Any) -> None:
        reporter.over = True
        raise RunStoppedError("over")

    planned = [FakePlan(lambda reporter: None), FakePlan(over), FakePlan(lambda reporter: None)]
    assert not slices.train_all(planned, tmp_path, own, False, lambda: written.append([p.done for p in planned]))
    assert [plan.done for plan in planned] == [True, False, False]
    assert written[0] == [True, False, False]
    planned[1].act = lambda reporter: None
    assert slices.train_all(planned, tmp_path, slices.Slice(None, Silent()), False, lambda: None)


def test_a_signal_from_elsewhere_is_an_error(bench: Callable[[str], Any], tmp_path: Path) -> None:
    slices = bench("slices")

    def stopped(reporter: Any) -> None:
        raise RunStoppedError("runs/x: stopped by SIGTERM")

    with pytest.raises(RunStoppedError):
        slices.train_all([FakePlan(stopped)], tmp_path, slices.Slice(None, Silent()), False, lambda: None)


def test_exit_status_tells_whether_to_call_again(
    bench: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    slices = bench("slices")
    slices.run_script(lambda: True)
    with pytest.raises(SystemExit) as stop:
        slices.run_script(lambda: False)
    assert stop.value.code == 3
    assert "the same command goes on" in capsys.readouterr().out

    def fails() -> bool:
        raise TrainerError("runs/x: broken")

    with pytest.raises(SystemExit) as stop:
        slices.run_script(fails)
    assert stop.value.code == "error: runs/x: broken"


def test_results_are_written_whole(bench: Callable[[str], Any], tmp_path: Path) -> None:
    path = tmp_path / "results" / "x.json"
    bench("slices").write_results(path, "x", {"complete": True})
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["bench"], found["complete"]) == ("x", True)
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]
