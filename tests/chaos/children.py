"""Runs commands in forked processes that may die, and tells how they ended."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cli
from tests.chaos.faults import Fault, Faults

LONGEST = 120
"""Seconds after which a child is taken for hanging."""


@dataclass
class Ended:
    """How a child ended.

    Attributes:
        code: its exit code; minus the number of the signal that killed it. output: what it wrote, stderr included.
        reached: whether the fault happened.
    """

    code: int
    output: str
    reached: bool = False


class Child:
    """A forked process that runs `work` and ends with its exit code; no import has to be repeated."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.output = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `wait`)
        self.pid = os.fork()
        if not self.pid:
            self._run(work)

    def _run(self, work: Callable[[], object]) -> None:
        code = 1
        try:
            for stream in (1, 2):
                os.dup2(self.output.fileno(), stream)
            sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))  # noqa: SIM115
            work()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> Ended:
        """Wait for its end.

        Raises:
            TimeoutError: it hangs; it is killed then.
        """
        watched = os.pidfd_open(self.pid)
        try:
            hangs = not select.select([watched], [], [], LONGEST)[0]
        finally:
            os.close(watched)
        if hangs:
            self.kill()
        _, status = os.waitpid(self.pid, 0)
        self.output.seek(0)
        output = self.output.read().decode(errors="replace")
        self.output.close()
        if hangs:
            raise TimeoutError(f"a child did not end in {LONGEST} s: {output}")
        return Ended(os.waitstatus_to_exitcode(status), output)


def command(arguments: Sequence[object]) -> Callable[[], object]:
    """What a child has to do to be `datatools ARGUMENTS`."""
    return lambda: cli.datatools.main([str(argument) for argument in arguments], prog_name="datatools")


def run(work: Callable[[], object]) -> Ended:
    """Run `work` in a child, undisturbed."""
    return Child(work).wait()


def run_with(fault: Fault, root: Path, work: Callable[[], object]) -> Ended:
    """Run `work` in a child in which `fault` happens; `root` as for `Faults`."""
    reads, writes = os.pipe()

    def faulty() -> None:
        tell = os.write
        Faults(fault, root, lambda: tell(writes, b"!")).install()
        work()

    child = Child(faulty)
    os.close(writes)
    try:
        ended = child.wait()
        ended.reached = os.read(reads, 1) == b"!"
    finally:
        os.close(reads)
    return ended


def run_and_kill(work: Callable[[], object], longest: float, moments: random.Random) -> Ended:
    """Run `work` in a child and kill it at a random moment of the first `longest` seconds."""
    child = Child(work)
    time.sleep(moments.uniform(0, longest))
    child.kill()
    return child.wait()


class Gate:
    """Where several children wait for each other, so that they go on at the same moment."""

    def __init__(self, children: int) -> None:
        self.children = children
        self.arrived, self.opened = os.pipe(), os.pipe()

    def wait(self) -> None:
        """In a child: wait until the gate opens."""
        os.write(self.arrived[1], b".")
        os.read(self.opened[0], 1)

    def open(self) -> None:
        """In the parent: wait until all are here, and open it."""
        for _ in range(self.children):
            if not select.select([self.arrived[0]], [], [], LONGEST)[0]:
                raise TimeoutError("not all children came to the gate")
            os.read(self.arrived[0], 1)
        os.write(self.opened[1], b"." * self.children)

    def close(self) -> None:
        for descriptor in (*self.arrived, *self.opened):
            os.close(descriptor)
