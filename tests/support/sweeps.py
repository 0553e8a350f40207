"""Grids of digits, and an executor that trains nothing."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.report_runs import made_run
from trainer.sweep.executor import Job, Resources
from trainer.sweep.grid import Cell, Grid
from trainer.sweep.loop import sweep

QUICK = {"preset": "quick", "epochs": 3}
ERRORS = [0.25, 0.5]
DONE = {"state": "finished", "result": {"best_test_error": 0.25, "last_test_error": 0.5}}


def grid(**changed: Any) -> Grid:
    base: dict[str, Any] = {"datasets": ("digits",), "methods": ("default", "selfie"), "limit": 60, "settings": QUICK}
    return Grid(**{**base, **changed})


class Pretend:
    """Ends every cell at once, as it is told; writes what a run would."""

    def __init__(self, outcomes: Callable[[Cell], dict[str, Any]]) -> None:
        self.outcomes, self.jobs, self.stopped = outcomes, list[Job](), False

    def start(self, jobs: Sequence[Job]) -> None:
        self.jobs = list(jobs)
        self.names = [job.cell.name for job in jobs]

    def finished(self, timeout: float) -> list[tuple[Job, dict[str, Any]]]:
        job = self.jobs.pop(0)
        outcome = self.outcomes(job.cell)
        if outcome["state"] == "finished":
            shutil.rmtree(job.directory, ignore_errors=True)
            made_run(job.directory, job.cell.method, job.cell.seed, ERRORS)
        return [(job, outcome)]

    def stop(self) -> None:
        self.stopped = True


class Killed(Pretend):
    """Kills its own process in the midst of the first cell."""

    def finished(self, timeout: float) -> list[tuple[Job, dict[str, Any]]]:
        made_run(self.jobs[0].directory, self.jobs[0].cell.method, self.jobs[0].cell.seed, ERRORS)
        (self.jobs[0].directory / "result.json").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody survives SIGKILL")


def run(made: Grid, folder: Path) -> dict[str, Any]:
    return sweep(made, folder / "data", folder / "out", "local", Resources())
