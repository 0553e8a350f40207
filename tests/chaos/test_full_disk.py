"""A disk that is full or broken at any call: one line, the old output, and nothing left behind."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest

from tests.chaos.cases import COMMANDS, WRITER, Case, Way, Workplace, check_one_line, prepare_inputs, ways
from tests.chaos.children import Ended, run_with
from tests.chaos.conftest import Attempts
from tests.chaos.faults import Fault

CODES = [errno.ENOSPC, errno.EIO]


def fail_everywhere(workplace: Workplace, code: int, old: bool, attempts: Attempts) -> list[Ended]:
    """Let the first call that changes files fail, the second, …, until the command gets through; how it ended."""
    all_ended: list[Ended] = []
    for number in itertools.count(1):
        workplace.reset(old)
        ended = run_with(Fault("error", number, code), workplace.place, workplace.work(overwrite=old))
        if not ended.reached:
            assert ended.code == 0, ended
            return all_ended
        all_ended.append(ended)
        with attempts.attempt(f"{os.strerror(code)} at call {number}"):
            # a call whose failure does no harm, or the last one of all, which says so
            harmless = ended.code == 0 or "is complete, but the disk does not confirm" in ended.output
            expected = "new" if harmless else "old" if old else "nothing"
            assert workplace.state() == expected, (workplace.state(), ended)
            if workplace.hidden():
                assert ended.code == 0, (workplace.hidden(), ended)
                workplace.check_repeats()
    raise AssertionError


@pytest.mark.parametrize(("case", "way"), ways(WRITER, ("folder-overwrite", "folder-no exchange")))
def test_the_writer_survives_an_error_of_any_call(tmp_path: Path, attempts: Attempts, case: Case, way: Way) -> None:
    fail_everywhere(Workplace(tmp_path, case, way.exchanges), errno.ENOSPC, way.old, attempts)
    attempts.check()


@pytest.mark.parametrize("code", CODES, ids=os.strerror)
@pytest.mark.parametrize(("case", "way"), ways(COMMANDS))
def test_a_command_says_one_line_of_an_error_of_any_call(
    tmp_path: Path, attempts: Attempts, case: Case, way: Way, code: int
) -> None:
    prepare_inputs(tmp_path)
    workplace = Workplace(tmp_path, case, way.exchanges)
    for ended in fail_everywhere(workplace, code, way.old, attempts):
        if ended.code:
            with attempts.attempt("the line"):
                check_one_line(ended, os.strerror(code), f"{workplace.place}")
                assert ".partial-" not in ended.output, ended
    attempts.check()
