"""What a run shows: the plan, the hint, the bar on a terminal, and which epochs get a line."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.reported import RESULT, RESULT_LINE, epoch_row, run_plan
from tests.support.tiny import run_config
from trainer.reporters.console import HINT_SECONDS, Console, duration, plan_lines


def test_the_plan_comes_before_what_is_timed_and_each_row_once(capsys: pytest.CaptureFixture[str]) -> None:
    console, plan = Console(), run_plan(compile_seconds=41.2, notices=("mind this",))
    console.preparing(replace(plan, compile_seconds=None, seconds=None))
    before = capsys.readouterr().out
    assert [line.split()[0] for line in before.splitlines()] == [
        *("device", "data", "noise", "method", "network", "training")
    ]
    console.start(plan)
    after = capsys.readouterr().out
    assert [line.split()[0] for line in after.splitlines()] == ["compiled", "plan", "note"]
    assert "about 1 min 30 s here" in after


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (42, "42 s"), (200, "3 min 20 s"), (3599, "59 min 59 s"), (3600, "1.0 h"), (18_720, "5.2 h")],
)
def test_a_duration_is_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("seconds", [59.7, 119.7, 3599.7])
def test_a_duration_has_no_60_seconds(seconds: float) -> None:
    assert "60 s" not in duration(seconds)


def test_the_plan_says_what_runs_on_what_and_for_how_long() -> None:
    shown = dict(plan_lines(run_plan()))
    assert shown["device"] == "CPU, 2 cores (tensorflow)"
    assert "60 training and 30 test images of 8x8x1, 3 classes" in shown["data"]
    assert shown["noise"].startswith("rate 0.25 ")
    assert "123,456 parameters" in shown["network"]
    assert "3 runs x 4 epochs x 100 steps of 10 images = 1,200 steps, about 1 min 30 s" in shown["plan"]
    # counted from 1, as the lines of the epochs are
    assert "at epochs 3, 4" in shown["training"]


def test_the_paper_s_protocol_on_a_cpu_gets_its_hours_and_a_hint_to_the_quick_preset() -> None:
    shown = dict(plan_lines(run_plan(run_config(preset="paper"), seconds=36_000.0)))
    assert "about 10.0 h" in shown["plan"]
    assert "--preset quick" in shown["hint"]


@pytest.mark.parametrize(
    "others",
    [
        {"on_cpu": False},
        {"seconds": HINT_SECONDS / 2},
        {"config": run_config(preset="quick")},
        {"seconds": None},
    ],
    ids=["on a gpu", "soon done", "quick already", "not timed"],
)
def test_who_needs_no_hint_gets_none(others: dict[str, Any]) -> None:
    plan = run_plan(**{"config": run_config(preset="paper"), "seconds": 36_000.0, **others})
    assert "hint" not in dict(plan_lines(plan))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({}, ""),
        ({"refurbished": 0, "refurbishment_accuracy": None}, ""),
        ({"refurbished": 1234, "refurbishment_accuracy": 0.875}, "  refurbished 1,234 (87.5% right)"),
        ({"refurbished": 1234, "refurbishment_accuracy": None}, "  refurbished 1,234"),
        ({"refurbished": 1234}, "  refurbished 1,234"),
        ({"test_error_2": 0.5, "test_loss_2": 1.0}, " (second network 50.00%)"),
        ({"test_error_1": 0.25, "test_error_2": 0.5}, " (each 25.00%, 50.00%)"),
        ({"test_error_2": None}, ""),
        ({"validation_error": 0.125, "validation_loss": 0.5}, "  validation error 12.50%"),
        ({"validation_error": None}, ""),
        (
            {"validation_error": 0.0, "test_error_2": 0.0, "refurbished": 5},
            " (second network 0.00%)  validation error 0.00%  refurbished 5",
        ),
    ],
)
def test_a_line_tells_of_the_epoch(others: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.start(run_plan(run_config("selfie")))
    capsys.readouterr()
    console.epoch(epoch_row(1, **others), 61.0)
    expected = f"run 2/3 epoch 1/4  loss 1.5000  test error 25.00%{said}  1,234 images/s  1 min 1 s left\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3, 4]), (9, [4])])
def test_a_line_comes_every_so_many_epochs_and_after_the_last(
    every: int, epochs: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(every)
    console.start(run_plan(runs=1))
    capsys.readouterr()
    for epoch in range(1, 5):
        console.epoch(epoch_row(epoch), 0.0)
    assert [int(line.split()[1].split("/")[0]) for line in capsys.readouterr().out.splitlines()] == epochs


def test_a_terminal_has_a_bar_within_the_epoch_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    console = Console()
    console.start(run_plan())
    console.steps(50, 100)
    shown = capsys.readouterr().err
    assert shown.startswith("\r")
    assert "step 50/100" in shown
    assert shown.count("#") == shown.count(".")
    console.epoch(epoch_row(1), 0.0)
    assert capsys.readouterr().err.startswith("\r"), "the bar makes way for the line"


def test_a_notebook_has_the_bar_among_its_lines_and_overwrites_it_with_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stdout", cell)
    console = Console()
    console.start(run_plan())
    console.steps(50, 100)
    console.epoch(epoch_row(1), 0.0)
    *_, bar, blanks, line = cell.getvalue().split("\r")
    assert "step 50/100" in bar
    assert blanks == " " * len(bar)
    assert "epoch 1/4" in line
    assert "\033" not in cell.getvalue()


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.steps(50, 100)
    assert capsys.readouterr().err == ""


def test_a_long_epoch_has_lines_within_where_there_is_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("trainer.reporters.console.time.monotonic", lambda: now[0])
    console = Console()
    for done, now[0] in ((10, 5.0), (20, 31.0), (30, 40.0), (40, 70.0), (50, 140.0)):
        console.steps(done, 50)
    assert capsys.readouterr().out.splitlines() == ["step 20 of 50", "step 40 of 50"]


def test_what_a_method_remarks_upon_is_part_of_the_plan() -> None:
    assert ("note", "mind this") in plan_lines(run_plan(notices=("mind this",)))
    assert "note" not in dict(plan_lines(run_plan()))


def test_a_method_with_two_networks_says_so() -> None:
    assert dict(plan_lines(run_plan()))["network"] == "small-cnn, 123,456 parameters"
    assert dict(plan_lines(run_plan(run_config("co-teaching"))))["network"] == "2 x small-cnn, 123,456 parameters each"


# A run that is resumed


@pytest.mark.parametrize(
    ("done", "runs", "said"),
    [
        (1, 3, "resumes after run 1, epoch 1, about 1 min 50 s left here"),
        (4, 3, "resumes after run 1, epoch 4, about 1 min 20 s left here"),
        (5, 3, "resumes after run 2, epoch 1, about 1 min 10 s left here"),
        (11, 3, "resumes after run 3, epoch 3, about 10 s left here"),
        (3, 1, "resumes after epoch 3, about 30 s left here"),
    ],
)
def test_the_plan_of_a_resumed_run_says_where_it_goes_on_and_how_long(done: int, runs: int, said: str) -> None:
    shown = dict(plan_lines(run_plan(epochs_done=done, runs=runs, seconds=120.0)))["plan"]
    assert shown.endswith(f"= {runs * 400:,} steps; {said}")


def test_the_plan_of_a_fresh_run_speaks_of_no_resuming() -> None:
    assert "resume" not in dict(plan_lines(run_plan()))["plan"]


def test_where_nothing_was_timed_the_plan_has_no_estimate() -> None:
    fresh, resumed = (
        dict(plan_lines(run_plan(seconds=None, on_cpu=False, epochs_done=done)))["plan"] for done in (0, 5)
    )
    assert fresh.endswith("= 1,200 steps")
    assert resumed.endswith("= 1,200 steps; resumes after run 2, epoch 1")


def test_a_resumed_run_that_is_nearly_done_needs_no_hint() -> None:
    config, seconds = run_config(preset="paper"), 2.5 * HINT_SECONDS
    assert "hint" in dict(plan_lines(run_plan(config, seconds=seconds, epochs_done=6)))
    assert "hint" not in dict(plan_lines(run_plan(config, seconds=seconds, epochs_done=9)))


# Notes and the result


def test_a_note_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().note("checkpoint saved after run 1, epoch 3")
    assert capsys.readouterr().out == "note: checkpoint saved after run 1, epoch 3\n"


def test_the_result_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().finish(Path("runs/tiny"), RESULT)
    assert capsys.readouterr().out == f"{RESULT_LINE}\n"


def test_a_selected_epoch_has_a_line_of_its_own_and_leaves_the_best_alone(capsys: pytest.CaptureFixture[str]) -> None:
    selected = {"epoch": 3, "validation_error": 0.3, "test_error": 0.07}
    Console().finish(Path("runs/tiny"), {**RESULT, "selected": selected})
    assert capsys.readouterr().out.splitlines() == [
        RESULT_LINE,
        "runs/tiny: epoch 3 selected on held-out noisy samples: validation error 30.00%, test error 7.00%",
    ]


@pytest.mark.parametrize("last", ["note", "finish"])
def test_the_bar_makes_way_for_a_note_and_for_the_result(
    last: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    console = Console()
    if last == "note":
        console.note("stopped")
    else:
        console.finish(Path("runs/tiny"), RESULT)
    assert capsys.readouterr().err.startswith("\r\033[K")


def test_what_was_compiled_is_said_with_its_time() -> None:
    assert dict(plan_lines(run_plan(compile_seconds=41.2)))["compiled"] == "the training step, once, in 41 s"
    assert "compiled" not in dict(plan_lines(run_plan()))
