"""Random kills of what is made of runs: a report, a relabelled dataset, and a sweep."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.cases import Case, Work, Workplace
from tests.chaos.conftest import Attempts
from tests.chaos.test_random_kills import kill_again_and_again
from tests.chaos.training import trainer
from tests.support.children import environment
from tests.support.interrupted import what_counts
from tests.support.relabel_runs import finished, noisy
from tests.support.report_runs import made_data, made_runs

pytestmark = pytest.mark.chaos
KILLS = 24
SWEEP_KILLS = 4
CELL_ENDS = 2.0
"""Seconds after which a cell has noticed that its sweep is dead."""


def relabel(seed: int, overwrite: bool) -> Work:
    options = ["--count", str(3 + seed), *(["--overwrite"] if overwrite else [])]
    return trainer("relabel", "in/run", "--out", "place/out", *options)


def report(seed: int, overwrite: bool) -> Work:
    return trainer("report", ("in/runs/default0", "in/runs")[seed], "--out", "place/out")


def prepare_relabel(root: Path) -> None:
    finished(root / "in" / "run", noisy(root / "in" / "noisy"))


def prepare_report(root: Path) -> None:
    (root / "in").mkdir()
    made_runs(root / "in", made_data(root / "in"))
    import matplotlib.pyplot  # noqa: F401  (once, and not in every child)


@pytest.mark.parametrize(
    ("case", "prepare"),
    [(Case("relabel", relabel), prepare_relabel), (Case("report", report), prepare_report)],
    ids=["relabel", "report"],
)
def test_reports_and_relabelled_sets_survive_random_kills(
    case: Case, prepare: Callable[[Path], None], tmp_path: Path, attempts: Attempts, moments: random.Random
) -> None:
    prepare(tmp_path)
    kill_again_and_again(Workplace(tmp_path, case), KILLS, moments, attempts)
    attempts.check()


def sweep(root: Path, out: str) -> subprocess.Popen[bytes]:
    options = ["--dataset", "digits", "--limit", "60", "--rates", "0.2", "--methods", "default", "--seeds", "0,1"]
    settings = ["--preset", "quick", "--epochs", "20", "--jobs", "2", "--quiet"]
    program = [sys.executable, "-c", "import cli; cli.trainer()", "sweep", *options, *settings, "--out", out]
    return subprocess.Popen(program, cwd=root, env=environment(), start_new_session=True)


def test_a_sweep_survives_kills_at_random_moments(tmp_path: Path, attempts: Attempts, moments: random.Random) -> None:
    started = time.perf_counter()
    assert sweep(tmp_path, "whole").wait() == 0
    usual = time.perf_counter() - started
    for number in range(SWEEP_KILLS):
        with attempts.attempt(f"kill {number}"):
            process = sweep(tmp_path, "killed")
            time.sleep(moments.uniform(0, usual))
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(CELL_ENDS)
    assert sweep(tmp_path, "killed").wait() == 0
    cells = sorted(path.parent.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("result.json"))
    assert len(cells) == 2
    for cell in cells:
        assert what_counts(tmp_path / "killed" / cell) == what_counts(tmp_path / "whole" / cell)
    attempts.check()
