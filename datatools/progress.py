"""Progress on the screen: a bar on a terminal, plain lines elsewhere, nothing for what is done at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET_SECONDS = 1.0
LINE_EVERY_SECONDS = 5.0


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that shows how far `title` has come, in `unit`, on stderr."""
    if not sys.stderr.isatty():
        yield _Lines(title, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """A line every few seconds, the first after one."""

    def __init__(self, title: str, unit: str) -> None:
        self.title, self.unit = title, unit
        self.due = time.monotonic() + QUIET_SECONDS

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + LINE_EVERY_SECONDS
        print(f"{self.title}: {done:,} of {total:,} {self.unit}", file=sys.stderr, flush=True)
