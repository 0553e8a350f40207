"""Cells in processes of their own: kept, killed, taken up again."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datatools import convert
from tests.support.sweeps import QUICK
from trainer.sweep.cell import CellProcess, environment
from trainer.sweep.executor import Job, Resources
from trainer.sweep.grid import Cell
from trainer.sweep.local import LocalExecutor

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def job_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Job]:
    root = tmp_path_factory.mktemp("data")
    clean = convert("digits", root=root, limit=60).dataset

    def get(directory: Path, method: str = "default", **settings: Any) -> Job:
        cell = Cell("digits-first60", "pair", 0.0, method, "small-cnn", 0, {**QUICK, **settings})
        return Job(cell, clean.path.absolute(), directory)

    return get


def test_the_local_executor_runs_cells_and_keeps_the_line_of_one_that_fails(tmp_path: Path, job_of: Any) -> None:
    executor = LocalExecutor(Resources(jobs=2))
    jobs = [job_of(tmp_path / "good"), job_of(tmp_path / "bad", learning_rate=1e30)]
    executor.start(jobs)
    outcomes: dict[str, dict[str, Any]] = {}
    end = time.monotonic() + 120
    while len(outcomes) < 2 and time.monotonic() < end:
        outcomes |= {job.directory.name: outcome for job, outcome in executor.finished(0.5)}
    executor.stop()
    assert outcomes["good"]["state"] == "finished"
    assert (tmp_path / "good" / "result.json").is_file()
    assert outcomes["bad"]["state"] == "failed"
    assert "loss" in outcomes["bad"]["error"]
    assert "\n" not in outcomes["bad"]["error"]


def test_a_cell_whose_process_is_killed_is_taken_up_again_from_its_checkpoint(tmp_path: Path, job_of: Any) -> None:
    job = job_of(tmp_path / "run", epochs=400)
    process = CellProcess(job.cell, job.dataset, job.directory, environment(1))
    killed: list[int] = []

    def kill() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            child = process._process
            if (job.directory / "checkpoint.h5").is_file() and child is not None:
                killed.append(child.pid)
                os.kill(child.pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    outcome = process.run()
    thread.join()
    assert killed
    assert outcome["state"] == "finished", outcome
    with (job.directory / "metrics.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, 401))


def test_a_cell_ends_when_its_parent_does(tmp_path: Path, job_of: Any) -> None:
    job = job_of(tmp_path / "run", epochs=100_000)
    program = (
        "import sys; from pathlib import Path\n"
        "from trainer.sweep.cell import CellProcess, environment\n"
        "from trainer.sweep.grid import Cell\n"
        f"cell = Cell(**{job.cell.to_json()!r})\n"
        f"CellProcess(cell, Path({str(job.dataset)!r}), Path({str(job.directory)!r}), environment(1)).run()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    checkpoint = job.directory / "checkpoint.h5"
    wait_for(checkpoint.is_file, 60)
    parent.kill()
    parent.wait()
    time.sleep(2)
    before = (job.directory / "metrics.csv").read_bytes()
    time.sleep(1)
    assert (job.directory / "metrics.csv").read_bytes() == before, "nobody trains any more"


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
