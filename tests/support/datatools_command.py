"""How the command datatools ends, in this process or in one of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.children import run_python

RUN = "import cli; cli.datatools()"
CONVERT = ["convert", "--dataset", "cifar10"]
CORRUPT = ["corrupt", "--type", "pair", "--rate"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def in_child(*arguments: object, cwd: Path, **more: object) -> Outcome:
    """The same in a process of its own."""
    child = run_python(RUN, *arguments, cwd=cwd, **more)  # type: ignore[arg-type]
    return Outcome(child.returncode, child.stdout, child.stderr)


def assert_refused(outcome: Outcome, said: str) -> None:
    """Exit 1 with one line, or 2 with click's usage and one line; no traceback, nothing on stdout."""
    assert outcome.code in (1, 2), outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    if outcome.code == 1:
        assert outcome.err.startswith("datatools: error: ")
        assert outcome.err.count("\n") == 1, outcome.err
        assert said in outcome.err
    else:
        usage, error, message = outcome.err.partition("\nError: ")
        assert usage.startswith("Usage: datatools ")
        assert error
        assert said in message
