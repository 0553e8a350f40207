"""Progress on the screen: a bar on a terminal, plain lines elsewhere, nothing for what is done at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datatools.printable import printable

Progress = Callable[[int, int], None]
"""Called with (done, in all) as work goes on."""
QUIET_SECONDS = 2.0
LINE_EVERY_SECONDS = 5.0


def no_progress(done: int, total: int) -> None:
    """Say nothing."""


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that shows how far `title` has come, in `unit`, on stderr."""
    title = printable(title)
    if not sys.stderr.isatty():
        yield _Lines(title, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # the title is a name, in which "[" and "{" stand for themselves
    shown = TextColumn("{task.description}", markup=False)
    columns = (shown, BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """A line every few seconds while work goes on; the end speaks for itself."""

    def __init__(self, title: str, unit: str) -> None:
        self.title, self.unit = title, unit
        self.due: float | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.due is None:
            self.due = now + QUIET_SECONDS
        if now < self.due or done == total:
            return
        self.due = now + LINE_EVERY_SECONDS
        print(f"{self.title}: {done:,} of {total:,} {self.unit}", file=sys.stderr, flush=True)
