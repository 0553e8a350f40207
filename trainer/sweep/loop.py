"""A sweep from start to end: datasets, cells, and sweep.json, which tells what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from datatools.files.output import FolderKind, check_folder, partial_path
from datatools.names import plain_name
from trainer.errors import TrainerError
from trainer.runs.directory import write_json
from trainer.sweep import EXECUTORS
from trainer.sweep.board import Board
from trainer.sweep.datasets import prepare
from trainer.sweep.executor import Executor, Job, Resources
from trainer.sweep.grid import Cell, Grid
from trainer.training.signals import stop_on_signals
from trainer.training.stopping import RunStoppedError

SWEEP_FILE = "sweep.json"
POLL_SECONDS = 0.2
SWEEP_FOLDER = FolderKind(lambda folder: (folder / SWEEP_FILE).is_file(), "a directory that is not a sweep")


def sweep(
    grid: Grid, root: Path, out: Path, executor: str, resources: Resources, quiet: bool = False
) -> dict[str, Any]:
    """Run every cell that is not finished; each goes on from its checkpoint where it has one.

    Returns:
        The content of sweep.json: for each cell its state ("finished", "failed", "to do") and error.

    Raises:
        TrainerError: the executor cannot be had, the name of a dataset leads elsewhere, or `out` is something else
            than a sweep.
        RunStoppedError: SIGINT or SIGTERM came; the cells under way have saved their checkpoints.
    """
    for name in grid.datasets:
        plain_name(name, "sweep: the name of a dataset", TrainerError)  # it becomes a part of paths
    cells = grid.cells()
    check_out(out)
    with stop_on_signals() as stop, Board(cells, out, quiet) as board:
        waiting = [cell for cell in cells if cell.name not in board.best]
        ready, failed = prepare(grid, waiting, root, board.say)
        out.mkdir(parents=True, exist_ok=True)
        _write(out, cells, board)  # before the first cell: it says that the folder is a sweep's
        for cell in waiting:
            if cell.name in failed:
                board.ended(cell, {"state": "failed", "error": failed[cell.name]})
        jobs = [
            Job(cell, ready[cell.name].absolute(), (out / cell.name).absolute())
            for cell in waiting
            if cell.name in ready
        ]
        if jobs and not stop.signal:
            runner = make_executor(executor, resources)
            try:
                runner.start(jobs)
                left = len(jobs)
                while left and not stop.signal:
                    for job, outcome in runner.finished(POLL_SECONDS):
                        left -= 1
                        board.ended(job.cell, outcome)
                        _write(out, cells, board)
                    board.refresh()
            finally:
                runner.stop()
        for cell in cells:  # some may have ended while the others were being stopped
            board.read_result(cell)
        content = _write(out, cells, board)
    if stop.signal:
        raise RunStoppedError(
            f"{out}: stopped by {stop.signal} with {len(board.best)} of {len(cells)} cells finished; the same command "
            "goes on"
        )
    return content


def make_executor(name: str, resources: Resources) -> Executor:
    """The executor of that name.

    Raises:
        TrainerError: it cannot be had here.
    """
    module, attribute = EXECUTORS[name].split(":")
    executor: Executor = getattr(import_module(module), attribute)(resources)
    return executor


def check_out(out: Path) -> None:
    """Raise TrainerError unless a sweep may write to the folder `out`; a sweep that is there goes on."""
    check_folder(
        out.resolve() if out.is_symlink() and out.is_dir() else out,  # a link to a sweep is fine
        True,
        SWEEP_FOLDER,
        ignored={partial_path(out / SWEEP_FILE).name},  # what a kill at the very start leaves
        error=TrainerError,
    )


def _write(out: Path, cells: Sequence[Cell], board: Board) -> dict[str, Any]:
    entries = []
    for cell in cells:
        state = "finished" if cell.name in board.best else "failed" if cell.name in board.failed else "to do"
        entries.append({"run": cell.name, **cell.to_json(), "state": state, "error": board.failed.get(cell.name)})
    content = {"cells": entries}
    write_json(out / SWEEP_FILE, content)
    return content
