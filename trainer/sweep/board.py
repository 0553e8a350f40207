"""How far the cells of a sweep are, as a table on a terminal and as lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from datatools.printable import printable
from trainer.errors import TrainerError
from trainer.reporters.console import duration
from trainer.runs.directory import RESULT_FILE
from trainer.runs.run import epochs_done, is_finished, open_run
from trainer.sweep.grid import Cell
from trainer.sweep.plan import cost

REFRESH_SECONDS = 0.5


class Board:
    """Shows states of cells; a context manager, for the time the table stands on the screen."""

    def __init__(self, cells: Sequence[Cell], out: Path, quiet: bool = False) -> None:
        self.cells, self.out = cells, out
        self.failed: dict[str, str] = {}
        self.best: dict[str, float] = {}
        self._epochs = {cell.name: cost(cell).epochs for cell in cells}
        self._live: Any = None
        self._quiet = quiet
        self._started = time.monotonic()
        self._done_before = 0
        self._shown = 0.0

    def __enter__(self) -> Board:
        for cell in self.cells:
            self.read_result(cell)
        self._done_before = sum(self._epochs[name] for name in self.best)
        if sys.stdout.isatty() and not self._quiet:
            from rich.live import Live

            self._live = Live(self._table(), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def read_result(self, cell: Cell) -> None:
        """Take up the result of a cell that is finished."""
        directory = self.out / cell.name
        if is_finished(directory):
            try:
                self.best[cell.name] = open_run(directory).result.best_test_error
            except TrainerError:
                self.failed[cell.name] = (
                    f"{directory / RESULT_FILE}: cannot be read; remove its directory, and the cell is run again"
                )

    def say(self, text: str) -> None:
        """A line for the user."""
        if self._live is not None:
            self._live.console.print(printable(text), highlight=False, markup=False)
        elif not self._quiet:
            click.echo(printable(text))

    def ended(self, cell: Cell, outcome: dict[str, Any]) -> None:
        """A cell has ended."""
        if outcome["state"] == "finished":
            self.best[cell.name] = outcome["result"]["best_test_error"]
            text = f"test error best {self.best[cell.name]:.2%}, last {outcome['result']['last_test_error']:.2%}"
        elif outcome["state"] == "failed":
            self.failed[cell.name] = outcome["error"]
            text = f"failed: {outcome['error']}"
        else:
            return
        if self._live is None:
            ended = len(self.best) + len(self.failed)
            self.say(f"[{ended}/{len(self.cells)}] {cell.name}: {text}; {self._left()}")
        elif outcome["state"] == "failed":
            self.say(f"{cell.name}: {text}")

    def refresh(self) -> None:
        """Bring the table up to date; called as often as one likes."""
        if self._live is not None and time.monotonic() - self._shown > REFRESH_SECONDS:
            self._live.update(self._table(), refresh=True)
            self._shown = time.monotonic()

    def epochs_done(self, cell: Cell) -> int:
        """Epochs of a cell that metrics.csv has, over all its runs."""
        return epochs_done(self.out / cell.name)

    def _left(self) -> str:
        total = sum(self._epochs.values())
        ended = self.best.keys() | self.failed.keys()
        done = sum(self._epochs[c.name] if c.name in ended else self.epochs_done(c) for c in self.cells)
        fresh = done - self._done_before
        if fresh <= 0 or done >= total:
            return "done" if done >= total else "time left unknown"
        return f"about {duration((time.monotonic() - self._started) * (total - done) / fresh)} left"

    def _table(self) -> Any:
        from rich.table import Table

        methods = list(dict.fromkeys((cell.method, cell.network) for cell in self.cells))
        rows: dict[tuple[str, str, int], dict[tuple[str, str], str]] = {}
        for cell in self.cells:
            row = rows.setdefault((cell.dataset, cell.noise_name, cell.seed), {})
            row[cell.method, cell.network] = self._text(cell)
        ended = len(self.best) + len(self.failed)
        table = Table(title=f"{ended} of {len(self.cells)} cells, {self._left()}", title_justify="left")
        for name in ("dataset", "noise", "seed"):
            table.add_column(name)
        for method, network in methods:
            table.add_column(f"{method}\n{network}", justify="right")
        for (dataset, noise, seed), texts in rows.items():
            table.add_row(dataset, noise, str(seed), *(texts.get(method, "") for method in methods))
        return table

    def _text(self, cell: Cell) -> str:
        if cell.name in self.best:
            return f"{self.best[cell.name]:.1%}"
        if cell.name in self.failed:
            return "failed"
        done = self.epochs_done(cell)
        return f"{done}/{self._epochs[cell.name]}" if done else "."
