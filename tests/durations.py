"""Which tests are slow: recorded once, in tests/slow_tests.txt, for `make check` to leave out.

    python -m pytest -p tests.durations …   notes what each test costs, in .durations.tsv
    python tests/durations.py               makes tests/slow_tests.txt of it, and forgets tests that are no more

A test costs its processor time, its children's included, or a quarter of the clock's time where it waits more than it
computes: so a busy machine moves no test across. A function is slow that costs more than LIMIT over all its parameters.
A fixture that tests share is counted for each of them, since whichever comes first pays for it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NOTES = TESTS.parent / ".durations.tsv"
SLOW = TESTS / "slow_tests.txt"
LIMIT = 0.25
"""Seconds; chosen so that all fast tests together leave `make check` well under a minute on two processors."""
WAITING = 4
HEAD = (
    "# Seconds that each test costs which `make check` leaves out. Written by tests/durations.py: `make durations`.\n"
)


def name_of(node_id: str) -> str:
    """`test_file.py::test_function`: without the folder and the parameters, so that a file may move."""
    path, _, function = node_id.partition("::")
    return f"{Path(path).name}::{function.partition('[')[0]}"


def read_slow(path: Path = SLOW) -> dict[str, float]:
    """The recorded costs by name."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return {name: float(seconds) for seconds, name in lines}


def read_notes(lines: Iterable[str]) -> dict[str, float]:
    """The costs of functions, over all their parameters; of two recordings of a test the last counts."""
    tests = {node: float(seconds) for node, seconds in (line.rstrip("\n").split("\t") for line in lines)}
    functions: dict[str, float] = {}
    for node, seconds in tests.items():
        functions[name_of(node)] = functions.get(name_of(node), 0.0) + seconds
    return functions


def defined() -> set[str]:
    """The names of all test functions there are."""
    pattern = re.compile(r"^ *(?:async )?def (test_\w+)", flags=re.MULTILINE)
    files = {path: path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")}
    return {f"{path.name}::{function}" for path, text in files.items() for function in pattern.findall(text)}


def render(slow: dict[str, float]) -> str:
    """The text of tests/slow_tests.txt."""
    return HEAD + "".join(f"{seconds:7.2f}  {name}\n" for name, seconds in sorted(slow.items()))


def _costs(started: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float]:
    """Seconds of the processor and of the clock, since `started`."""
    return sum(os.times()[:4]) - started[0], time.monotonic() - started[1]


def _cost(started: tuple[float, float]) -> float:
    processor, clock = _costs(started)
    return max(processor, clock / WAITING)


_shared: dict[pytest.FixtureDef[object], float] = {}
"""What the set-up of each fixture of a wider scope than a function cost."""


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    started = _costs()
    result = yield
    if fixturedef.scope != "function":
        _shared[fixturedef] = max(_cost(started), _shared.get(fixturedef, 0.0))
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Function) -> Generator[None, object, object]:
    started = _costs()
    result = yield
    used = (
        _shared.get(fixture, 0.0) for fixtures in item._fixtureinfo.name2fixturedefs.values() for fixture in fixtures
    )
    seconds = max(_cost(started), *used, 0.0)
    with NOTES.open("a", encoding="utf-8") as notes:
        notes.write(f"{item.nodeid}\t{seconds:.3f}\n")
    return result


def pytest_collection_finish() -> None:
    """Load TensorFlow, so that no test is charged for it."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    from trainer.engine import load_backend

    load_backend("tensorflow")


def main() -> None:
    """Judge what is noted anew, keep what else was recorded, and forget tests that are no more."""
    recorded = read_slow() if SLOW.exists() else {}
    noted = read_notes(NOTES.open(encoding="utf-8")) if NOTES.exists() else {}
    known = defined()
    slow = {name: seconds for name, seconds in (recorded | noted).items() if seconds > LIMIT and name in known}
    SLOW.write_text(render(slow), encoding="utf-8")
    fast = [seconds for seconds in noted.values() if seconds <= LIMIT]
    print(f"{len(slow)} functions are slow; the {len(fast)} fast ones noted cost {sum(fast):.0f} s together")


if __name__ == "__main__":
    main()
