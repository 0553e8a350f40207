"""The record of slow tests: what it says stands for tests that exist, and it is read as it is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import durations

ROOT = Path(__file__).parents[1]


def test_every_recorded_test_exists() -> None:
    gone = sorted(set(durations.read_slow()) - durations.defined())
    assert not gone, f"renamed or removed since; run `python tests/durations.py`, or `make durations`: {gone}"


def test_parameters_of_a_function_are_one_cost() -> None:
    lines = ["tests/a/test_x.py::test_one[1]\t0.3\n", "tests/a/test_x.py::test_one[2]\t0.25\n"]
    again = ["tests/a/test_x.py::test_one[2]\t0.5\n"]
    assert durations.read_notes(lines) == {"test_x.py::test_one": pytest.approx(0.55)}
    assert durations.read_notes([*lines, *again]) == {"test_x.py::test_one": pytest.approx(0.8)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "slow.txt"
    path.write_text(durations.render({"test_b.py::test_two": 12.5, "test_a.py::test_one": 0.61}), encoding="utf-8")
    assert durations.read_slow(path) == {"test_a.py::test_one": 0.61, "test_b.py::test_two": 12.5}


def test_the_fast_selection_leaves_out_what_is_recorded() -> None:
    name = next(name for name in sorted(durations.read_slow()) if name.startswith("test_comparisons.py"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-m",
        "not slow",
        "tests/bench/test_comparisons.py",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "tests collected" in done.stdout
    assert name not in done.stdout
