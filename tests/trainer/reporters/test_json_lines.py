"""A run as JSON lines: what each event holds, one line each, and never what JSON cannot say."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.reported import RESULT, epoch_row, run_plan
from trainer.reporters.json_lines import JsonLines

ROOT = Path(__file__).parents[3]


def strict(line: str) -> dict[str, Any]:
    """The object of a line; NaN and Infinity, which Python would take, are refused."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    value = json.loads(line, parse_constant=refuse)
    assert isinstance(value, dict)
    return value


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    text = stream.getvalue()
    assert text.endswith("\n")
    return [strict(line) for line in text.splitlines()]


def test_start_has_plain_values(stream: io.StringIO) -> None:
    JsonLines(stream).start(run_plan(epochs_done=5))
    assert written(stream) == [
        {
            "event": "start",
            "directory": "runs/tiny",
            "method": "default",
            "network": "small-cnn",
            "dataset": "tiny",
            "device": "CPU, 2 cores",
            "engine": "tensorflow",
            "seed": 0,
            "epochs": 4,
            "runs": 3,
            "steps": 1200,
            "epochs_done": 5,
            "compile_seconds": None,
            "noise_rate": 0.25,
            "parameters": 123456,
            "estimated_seconds": 90.0,
        }
    ]


def test_an_estimate_that_was_not_made_is_null(stream: io.StringIO) -> None:
    JsonLines(stream).start(run_plan(seconds=None))
    assert written(stream)[0]["estimated_seconds"] is None


def test_what_a_method_remarks_upon_comes_as_a_note(stream: io.StringIO) -> None:
    JsonLines(stream).start(run_plan(notices=("mind this", "and ½ of that")))
    assert written(stream)[1:] == [
        {"event": "note", "text": "mind this"},
        {"event": "note", "text": "and ½ of that"},
    ]


def test_an_epoch_has_its_row_as_it_is_and_the_seconds_left(stream: io.StringIO) -> None:
    JsonLines(stream).epoch(epoch_row(1, test_error_2=0.5, label_precision=None, refurbished=12), 61.5)
    assert written(stream) == [
        {
            "event": "epoch",
            **epoch_row(1).to_json(),
            "test_error_2": 0.5,
            "label_precision": None,
            "refurbished": 12,
            "seconds_left": 61.5,
        }
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_null(value: float, stream: io.StringIO) -> None:
    lines = JsonLines(stream)
    lines.epoch(epoch_row(1, train_loss=value), value)
    lines.finish(Path("run"), {**RESULT, "runs": [{"best_test_error": value}]})
    epoch, result = written(stream)
    assert epoch["train_loss"] is None
    assert epoch["seconds_left"] is None
    assert result["runs"] == [{"best_test_error": None}]


def test_a_note_stays_on_its_line(stream: io.StringIO) -> None:
    JsonLines(stream).note("one\ntwo")
    assert stream.getvalue().count("\n") == 1
    assert written(stream) == [{"event": "note", "text": "one\ntwo"}]


def test_the_result_has_all_of_result_json_but_the_confusion_matrices(stream: io.StringIO) -> None:
    result = {
        **RESULT,
        "method": "selfie",
        "confusion_matrix": {"best": [[1, 2], [3, 4]], "last": [[4, 3], [2, 1]]},
        "per_class_test_error": {"best": [0.1, None]},
        "selected": {"epoch": 3, "test_error": 0.07, "confusion_matrix": [[1]]},
        "runs": [{"best_test_error": 0.1, "confusion_matrix_2": [[1]]}],
    }
    JsonLines(stream).finish(Path("runs/tiny"), result)
    assert written(stream) == [
        {
            "event": "result",
            "directory": "runs/tiny",
            **RESULT,
            "method": "selfie",
            "per_class_test_error": {"best": [0.1, None]},
            "selected": {"epoch": 3, "test_error": 0.07},
            "runs": [{"best_test_error": 0.1}],
        }
    ]
    assert "confusion_matrix" in result, "what was handed over is left as it was"


def test_steps_are_not_worth_a_line(stream: io.StringIO) -> None:
    JsonLines(stream).steps(1, 2)
    assert stream.getvalue() == ""


def test_a_line_is_out_at_once() -> None:
    # a pipe has a buffer of kilobytes; the process dies without a chance to empty it
    program = (
        "import os, sys\nfrom trainer.reporters.json_lines import JsonLines\n"
        "JsonLines(sys.stdout).note('here')\nos._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 9
    assert strict(done.stdout) == {"event": "note", "text": "here"}
