"""Who is told of a run: nobody but of the result, or several, each of everything and in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.reported import RESULT, RESULT_LINE, epoch_row, run_plan
from trainer.metrics import EpochRow
from trainer.reporters.base import Quiet, Reporter, ReporterGroup, RunPlan, result_lines
from trainer.reporters.console import Console

DIRECTORY = Path("runs/tiny")


class Recorder:
    """A Reporter that keeps what it is told, under its name, in a list that it shares."""

    def __init__(self, name: str, events: list[tuple[Any, ...]]) -> None:
        self.name, self.events = name, events

    def start(self, plan: RunPlan) -> None:
        self.events.append((self.name, "start", plan))

    def steps(self, done: int, total: int) -> None:
        self.events.append((self.name, "steps", done, total))

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self.events.append((self.name, "epoch", row, seconds_left))

    def note(self, text: str) -> None:
        self.events.append((self.name, "note", text))

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        self.events.append((self.name, "finish", directory, result))


class Early(Recorder):
    def preparing(self, plan: RunPlan) -> None:
        self.events.append((self.name, "preparing", plan))


def a_run(reporter: Reporter) -> list[tuple[Any, ...]]:
    """Tell of a whole run; what was told."""
    plan, row = run_plan(), epoch_row(1)
    reporter.start(plan)
    reporter.steps(1, 2)
    reporter.epoch(row, 3.0)
    reporter.note("stopped")
    reporter.finish(DIRECTORY, RESULT)
    return [
        ("start", plan),
        ("steps", 1, 2),
        ("epoch", row, 3.0),
        ("note", "stopped"),
        ("finish", DIRECTORY, RESULT),
    ]


def test_a_group_passes_everything_on_in_order() -> None:
    events: list[tuple[Any, ...]] = []
    expected = a_run(ReporterGroup(Recorder(name, events) for name in ("one", "two")))
    assert events == [(name, *event) for event in expected for name in ("one", "two")]


def test_a_group_tells_the_plan_early_to_those_who_want_it() -> None:
    events: list[tuple[Any, ...]] = []
    group = ReporterGroup([Recorder("one", events), Early("two", events)])
    group.preparing(run_plan())
    assert [event[:2] for event in events] == [("two", "preparing")]


def test_quiet_prints_the_result_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    a_run(Quiet())
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{RESULT_LINE}\n", "")


def test_quiet_tells_of_the_result_what_the_console_tells(capsys: pytest.CaptureFixture[str]) -> None:
    result = {**RESULT, "selected": {"epoch": 3, "validation_error": 0.3, "test_error": 0.07}}
    said = []
    for reporter in (Quiet(), Console()):
        reporter.finish(DIRECTORY, result)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert said[0].count("\n") == 2


@pytest.mark.parametrize("selected", [{}, {"selected": None}], ids=["no entry", "none"])
def test_without_a_selected_epoch_nothing_is_said_of_one(selected: dict[str, Any]) -> None:
    assert result_lines(DIRECTORY, {**RESULT, **selected}) == [RESULT_LINE]


@pytest.mark.parametrize(("runs", "said"), [(1, "epoch 3 selected"), (3, "epoch 3 of the final run selected")])
def test_a_selected_epoch_is_counted_in_the_final_run(runs: int, said: str) -> None:
    selected = {"epoch": 3, "validation_error": 0.3, "test_error": 0.07}
    assert said in result_lines(DIRECTORY, {**RESULT, "selected": selected, "runs": [RESULT] * runs})[1]
