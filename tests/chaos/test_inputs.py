"""Thousands of mutated inputs of every format: each is read, or refused in one line, in time and in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos.formats import FORMATS
from tests.chaos.mutants import SECONDS
from tests.support.children import environment

SEED = os.environ.get("CHAOS_SEED", "0")
MUTANTS = 150
"""Of each format; more than 4,000 in all."""
SHARE = 7
"""Of each format in the usual run of the tests."""


@dataclass
class Results:
    """How many mutants were read and refused, and a text on each other one."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def take(self, name: str, number: int, outcome: str) -> None:
        is_well = outcome in ("read", "refused")
        self.outcomes[outcome if is_well else "failed"] += 1
        if not is_well:
            self.failures.append(f"{name}, seed {SEED}, mutant {number}: {outcome}")


def read_mutants(names: Sequence[str], count: int, folder: Path) -> Results:
    """Read `count` mutants of each format, in a process; one that dies is begun again behind what it died of."""
    results = Results()
    todo = dict.fromkeys(names, 0)
    while todo:
        said, ended = run_child(todo, count, folder)
        lines = [json.loads(line) for line in said.splitlines() if line.endswith("}")]
        assert lines, ended
        for line in lines:
            if "outcome" in line:
                results.take(line["format"], line["number"], line["outcome"])
        if "outcome" not in lines[-1]:
            results.take(lines[-1]["format"], lines[-1]["number"], ended)
        last = lines[-1]["format"]
        assert lines[-1]["number"] == count - 1 or "outcome" not in lines[-1], ended
        done = names[: names.index(last)]
        todo = {name: first for name, first in todo.items() if name not in done}
        todo[last] = lines[-1]["number"] + 1
        if todo[last] == count:
            del todo[last]
    return results


def run_child(todo: dict[str, int], count: int, folder: Path) -> tuple[str, str]:
    """What a child said, and how it ended."""
    formats = [f"{name}={first}" for name, first in todo.items()]
    seconds = 60 + SECONDS * sum(count - first for first in todo.values())
    arguments = [sys.executable, "-m", "tests.chaos.mutants", SEED, str(count), str(folder), *formats]
    try:
        child = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(), "did not end"
    return child.stdout, f"exit code {child.returncode}: {child.stderr[-500:]}"


def assert_all_well(results: Results, expected: int, record: Callable[[str, object], None]) -> None:
    outcomes, failures = results.outcomes, results.failures
    print(f"{outcomes.total():,} mutated inputs, seed {SEED}: {dict(outcomes)}")
    record("attempts", outcomes.total())
    record("failures", len(failures))
    assert not failures, f"{len(failures)} of {outcomes.total()} failed\n" + "\n".join(failures[:20])
    assert outcomes.total() == expected


@pytest.mark.chaos
@pytest.mark.parametrize("name", FORMATS)
def test_mutated_inputs_are_read_or_refused(
    tmp_path: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    assert_all_well(read_mutants([name], MUTANTS, tmp_path), MUTANTS, record_property)


def test_some_mutated_inputs_of_every_format_are_read_or_refused(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    results = read_mutants(list(FORMATS), SHARE, tmp_path)
    assert_all_well(results, SHARE * len(FORMATS), record_property)
    assert results.outcomes["refused"] > 0 < results.outcomes["read"]
