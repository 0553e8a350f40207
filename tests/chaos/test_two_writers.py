"""Two processes that write the same output at the same moment: one of them succeeds, or, with --overwrite, both."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from datatools.files import output
from datatools.files.syncing import sync_tree
from tests.chaos.cases import COMMANDS, WRITER, Case, Work, Workplace, check_one_line, prepare_inputs
from tests.chaos.children import Child, Ended, Gate
from tests.chaos.conftest import Attempts
from tests.support.factories import tree

PAIRS = 16
STATES = ("new", "old")
"""What stands there, by the seed of the process that won."""
REFUSALS = ("another process made it meanwhile; use that one", "exists already; pass --overwrite to replace it")


def rival(work: Work, gate: Gate, at_the_end: bool) -> Work:
    """`work` that waits for the other one: before it begins, or when all is built and has to take its place."""

    def run() -> None:
        if not at_the_end:
            gate.wait()

        def wait_and_sync(partial: Path) -> None:
            if at_the_end:
                gate.wait()
            sync_tree(partial)

        with mock.patch.object(output, "sync_tree", wait_and_sync):
            work()

    return run


def collide(workplace: Workplace, overwrite: bool, at_the_end: bool) -> list[Ended]:
    """How two processes ended, that of seed 0 and that of seed 1."""
    workplace.reset(old=False)
    gate = Gate(2)
    try:
        children = [Child(rival(workplace.work(seed, overwrite=overwrite), gate, at_the_end)) for seed in (0, 1)]
        gate.open()
        return [child.wait() for child in children]
    finally:
        gate.close()


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "no exchange"])
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize("case", WRITER, ids=str)
def test_of_two_writers_at_the_same_place_one_wins(
    tmp_path: Path, attempts: Attempts, case: Case, overwrite: bool, exchanges: bool
) -> None:
    workplace = Workplace(tmp_path, case, exchanges)
    for number in range(3):
        with attempts.attempt(f"pair {number}"):
            ended = collide(workplace, overwrite, at_the_end=True)
            codes = [one.code for one in ended]
            assert sorted(codes) == ([0, 0] if overwrite else [0, 1]), ended
            assert workplace.state() in (STATES if overwrite else STATES[codes.index(0)])
            assert workplace.hidden() == []
    attempts.check()


@pytest.mark.chaos
@pytest.mark.parametrize("at_the_end", [False, True], ids=["begin together", "end together"])
@pytest.mark.parametrize("case", COMMANDS, ids=str)
def test_of_two_commands_without_overwrite_one_succeeds(
    tmp_path: Path, attempts: Attempts, case: Case, at_the_end: bool
) -> None:
    prepare_inputs(tmp_path)
    workplace = Workplace(tmp_path, case)
    for number in range(PAIRS):
        with attempts.attempt(f"pair {number}"):
            ended = collide(workplace, overwrite=False, at_the_end=at_the_end)
            winner, loser = sorted(ended, key=lambda one: one.code)
            assert (winner.code, loser.code) == (0, 1), ended
            check_one_line(loser, case.out)
            assert any(refusal in loser.output for refusal in REFUSALS), loser
            assert workplace.state() == STATES[ended.index(winner)]
            assert workplace.hidden() == []
    attempts.check()


@pytest.mark.chaos
@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "no exchange"])
@pytest.mark.parametrize("case", COMMANDS, ids=str)
def test_of_two_commands_with_overwrite_the_last_stays(
    tmp_path: Path, attempts: Attempts, case: Case, exchanges: bool
) -> None:
    prepare_inputs(tmp_path)
    before = tree(tmp_path / "in")
    workplace = Workplace(tmp_path, case, exchanges)
    for number in range(2 * PAIRS):
        with attempts.attempt(f"pair {number}"):
            ended = collide(workplace, overwrite=True, at_the_end=bool(number % 2))
            assert [one.code for one in ended] == [0, 0], ended
            assert workplace.state() in STATES, workplace.state()
            assert workplace.hidden() == []
    assert tree(tmp_path / "in") == before
    attempts.check()
