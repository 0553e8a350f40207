"""A kill or a power cut at every call that changes files: the old output or the new one, and the next run is as any."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.chaos.cases import COMMANDS, WRITER, Case, Way, Workplace, prepare_inputs, ways
from tests.chaos.children import run_with
from tests.chaos.conftest import Attempts
from tests.chaos.faults import KILLED, Fault
from tests.support.factories import tree

KINDS = ("kill", "torn write", "power cut")


def crash_everywhere(workplace: Workplace, kind: str, old: bool, attempts: Attempts) -> None:
    """End the command at its first call, its second, …, until it gets through."""
    for number in itertools.count(1):
        workplace.reset(old)
        ended = run_with(Fault(kind, number), workplace.place, workplace.work(overwrite=old))
        if not ended.reached:
            assert ended.code == 0, ended
            workplace.check_done()
            return
        with attempts.attempt(f"{kind} at call {number}"):
            assert ended.code == KILLED, ended
            workplace.check_undamaged(old)
            workplace.check_repeats()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("case", "way"), ways(WRITER, ("folder-overwrite", "folder-no exchange")))
def test_the_writer_survives_a_crash_at_any_call(
    tmp_path: Path, attempts: Attempts, case: Case, way: Way, kind: str
) -> None:
    crash_everywhere(Workplace(tmp_path, case, way.exchanges), kind, way.old, attempts)
    attempts.check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("case", "way"), ways(COMMANDS))
def test_a_command_survives_a_crash_at_any_call(
    tmp_path: Path, attempts: Attempts, case: Case, way: Way, kind: str
) -> None:
    prepare_inputs(tmp_path)
    before = tree(tmp_path / "in")
    crash_everywhere(Workplace(tmp_path, case, way.exchanges), kind, way.old, attempts)
    assert tree(tmp_path / "in") == before
    attempts.check()


def test_a_writer_that_does_not_sync_loses_all_in_a_power_cut(
    tmp_path: Path, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the check: a power cut takes what was not synced, and that is noticed."""
    workplace = Workplace(tmp_path, WRITER[0])
    monkeypatch.setenv("DATATOOLS_FSYNC", "off")
    crash_everywhere(workplace, "power cut", True, attempts)
    assert any("neither" in failure for failure in attempts.failures)
    attempts.failures.clear()
