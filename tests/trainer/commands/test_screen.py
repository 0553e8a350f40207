"""The screen of a run without a terminal: quiet, the plan first, a line an epoch, where it lies last."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.trainer_command import TRAINER, noisy, python


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run as in the documentation, without --data, in a process of its own."""
    directory = tmp_path_factory.mktemp("screen")
    noisy(directory / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.delenv("DATATOOLS_ROOT", raising=False)
        arguments = ["run", "selfie", "--preset", "quick", "--epochs", "4", "--restarts", "1", "--seed", "3"]
        return directory, python(TRAINER, *arguments)


Screen = tuple[Path, subprocess.CompletedProcess[str]]


def test_a_run_without_a_terminal_writes_nothing_to_stderr(screen: Screen) -> None:
    _, done = screen
    assert (done.returncode, done.stderr) == (0, "")


def test_the_screen_has_no_chatter_of_the_framework(screen: Screen) -> None:
    _, done = screen
    assert not re.search("tensorflow/|onednn|cuda|avx|WARNING|retracing|\r|\x1b", done.stdout, re.IGNORECASE)


def test_the_screen_begins_with_what_is_going_to_run(screen: Screen) -> None:
    lines = screen[1].stdout.splitlines()
    plan = dict(re.split(r"\s+", line, maxsplit=1) for line in lines if not line.startswith(("run ", "runs/")))
    assert plan["device"].startswith("CPU")
    assert "tensorflow" in plan["device"]
    assert "30 training and 9 test images of 8x8x1, 3 classes" in plan["data"]
    assert "0.3" in plan["noise"]
    for setting in (
        "warm-up 1",
        "history-length 1",
        "uncertainty-threshold 0.05",
        "restarts 1",
        "refurbish remembered",
    ):
        assert setting in plan["method"]
    assert plan["network"].startswith("small-cnn, ")
    assert "at epochs 3, 4; seed 3" in plan["training"]
    assert "2 runs x 4 epochs" in plan["plan"]
    assert "hint" not in plan


def test_the_screen_has_a_line_an_epoch(screen: Screen) -> None:
    lines = [line for line in screen[1].stdout.splitlines() if line.startswith("run ")]
    assert len(lines) == 8
    pattern = (
        r"run ([12])/2 epoch ([1-4])/4  loss \d+\.\d+  test error \d+\.\d\d%(  refurbished \d+ \(\d+\.\d% right\))?"
        r"  [\d,]+ images/s  .* left"
    )
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(found), lines
    assert [match.group(1, 2) for match in found if match] == [(run, epoch) for run in "12" for epoch in "1234"]
    assert "refurbished" not in lines[0], "the first epoch is the warm-up"


def test_the_screen_ends_with_where_the_run_lies_and_its_errors(screen: Screen) -> None:
    directory, done = screen
    run = Path("runs/noisy/selfie-small-cnn-seed3")
    result = json.loads((directory / run / "result.json").read_text(encoding="utf-8"))
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"{run}: ")
    for key in ("best_test_error", "last_test_error", "mean_last10_test_error"):
        assert f"{result[key]:.2%}" in last
