"""What a run shows: the plan, the hint, the bar on a terminal, and which epochs get a line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from datatools.dataset import Dataset
from tests.trainer.tiny import metadata, run_config, training_data
from trainer.config import RunConfig
from trainer.console import HINT_SECONDS, Console, Quiet, duration, plan


def facts(config: RunConfig | None = None, **others: Any) -> dict[str, Any]:
    return {
        "config": config or run_config(),
        "dataset": Dataset(Path("data/tiny"), metadata()),
        "data": training_data(),
        "device": "CPU, 2 cores",
        "on_cpu": True,
        "parameters": 123_456,
        "runs": 3,
        "notices": (),
        "steps": 1_200,
        "steps_per_epoch": 100,
        "seconds": 90.0,
        **others,
    }


def row(epoch: int, **others: Any) -> dict[str, Any]:
    return {"run": 2, "epoch": epoch, "train_loss": 1.5, "test_error": 0.25, "images_per_second": 1234.5, **others}


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
    shown = dict(plan(facts()))
    assert shown["device"] == "CPU, 2 cores (tensorflow)"
    assert "60 training and 30 test images of 8x8x1, 3 classes" in shown["data"]
    assert shown["noise"].startswith("rate 0.25 ")
    assert "123,456 parameters" in shown["network"]
    assert "3 runs x 4 epochs x 100 steps of 10 images = 1,200 steps, about 1 min 30 s" in shown["plan"]
    # counted from 1, as the lines of the epochs are
    assert "at epochs 3, 4" in shown["training"]


def test_the_paper_s_protocol_on_a_cpu_gets_its_hours_and_a_hint_to_the_quick_preset() -> None:
    shown = dict(plan(facts(run_config(preset="paper"), seconds=36_000.0)))
    assert "about 10.0 h" in shown["plan"]
    assert "--preset quick" in shown["hint"]


@pytest.mark.parametrize(
    "others",
    [
        {"on_cpu": False},
        {"seconds": HINT_SECONDS / 2},
        {"config": run_config(preset="quick")},
    ],
    ids=["on a gpu", "soon done", "quick already"],
)
def test_who_needs_no_hint_gets_none(others: dict[str, Any]) -> None:
    given = {"config": run_config(preset="paper"), "seconds": 36_000.0, **others}
    assert "hint" not in dict(plan(facts(**given)))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({}, ""),
        ({"refurbished": 0, "refurbishment_accuracy": None}, ""),
        ({"refurbished": 1234, "refurbishment_accuracy": 0.875}, "  refurbished 1,234 (87.5% right)"),
        ({"refurbished": 1234, "refurbishment_accuracy": None}, "  refurbished 1,234"),
    ],
)
def test_a_line_tells_of_the_epoch(others: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.start(facts())
    capsys.readouterr()
    console.epoch(row(1, **others), 61.0)
    expected = f"run 2/3 epoch 1/4  loss 1.5000  test error 25.00%{said}  1,234 images/s  1 min 1 s left\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3, 4]), (9, [4])])
def test_a_line_comes_every_so_many_epochs_and_after_the_last(
    every: int, epochs: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(every)
    console.start(facts(runs=1))
    capsys.readouterr()
    for epoch in range(1, 5):
        console.epoch(row(epoch), 0.0)
    assert [int(line.split()[1].split("/")[0]) for line in capsys.readouterr().out.splitlines()] == epochs


def test_a_terminal_has_a_bar_within_the_epoch_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    console = Console()
    console.start(facts())
    console.steps(50, 100)
    shown = capsys.readouterr().err
    assert shown.startswith("\r")
    assert "step 50/100" in shown
    assert shown.count("#") == shown.count(".")
    console.epoch(row(1), 0.0)
    assert capsys.readouterr().err.startswith("\r"), "the bar makes way for the line"


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.steps(50, 100)
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Quiet()
    quiet.start(facts())
    quiet.steps(1, 2)
    quiet.epoch(row(1), 0.0)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_long_epoch_has_lines_within_where_there_is_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("trainer.console.time.monotonic", lambda: now[0])
    console = Console()
    for done, now[0] in ((10, 5.0), (20, 31.0), (30, 40.0), (40, 70.0), (50, 140.0)):
        console.steps(done, 50)
    assert capsys.readouterr().out.splitlines() == ["step 20 of 50", "step 40 of 50"]


def test_what_a_method_remarks_upon_is_part_of_the_plan() -> None:
    assert ("note", "mind this") in plan(facts(notices=("mind this",)))
    assert "note" not in dict(plan(facts()))
