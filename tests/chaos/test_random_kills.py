"""SIGKILL at a random moment of the commands that write, then the command again."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.cases import COMMANDS, Case, Work, Workplace, digits_case, prepare_inputs
from tests.chaos.children import command, run, run_and_kill
from tests.chaos.conftest import Attempts
from tests.support.children import environment

pytestmark = pytest.mark.chaos
KILLS = 60
PROCESSES_KILLED = 10


def kill_again_and_again(workplace: Workplace, kills: int, moments: random.Random, attempts: Attempts) -> None:
    workplace.reset(old=False)
    started = time.perf_counter()
    assert run(workplace.work(overwrite=False)).code == 0
    usual = time.perf_counter() - started
    killed = 0
    for number in range(kills):
        old = bool(number % 2)
        workplace.reset(old)
        with attempts.attempt(f"kill {number}"):
            ended = run_and_kill(workplace.work(overwrite=old), usual, moments)
            killed += ended.code < 0
            workplace.check_undamaged(old)
            workplace.check_repeats()
    assert killed >= kills // 4, f"{killed} of {kills} were killed before their end"


@pytest.mark.parametrize("case", [*COMMANDS, digits_case(command)], ids=str)
def test_a_command_survives_kills_at_random_moments(
    tmp_path: Path, attempts: Attempts, moments: random.Random, case: Case
) -> None:
    import sklearn.datasets  # noqa: F401  (once, and not in every child)

    prepare_inputs(tmp_path)
    kill_again_and_again(Workplace(tmp_path, case), KILLS, moments, attempts)
    attempts.check()


def process(arguments: list[object]) -> Work:
    """What a child has to do to become a process of its own that runs `datatools ARGUMENTS`."""
    program = [sys.executable, "-c", "import cli; cli.datatools()", *map(str, arguments)]
    return lambda: os.execve(sys.executable, program, environment())


def test_a_process_survives_kills_at_random_moments(tmp_path: Path, attempts: Attempts, moments: random.Random) -> None:
    kill_again_and_again(Workplace(tmp_path, digits_case(process)), PROCESSES_KILLED, moments, attempts)
    attempts.check()
