"""Kills, power cuts and full disks under `trainer`: the old run or report stays, or a resume ends to the same bytes."""

from __future__ import annotations

import errno
import itertools
import os
import random
import time
from pathlib import Path

import pytest

from tests.chaos.children import run, run_and_kill, run_with
from tests.chaos.conftest import Attempts
from tests.chaos.faults import KILLED, Fault
from tests.chaos.training import TrainingPlace

KINDS = ("kill", "torn write", "power cut")
WAYS = pytest.mark.parametrize("old", [False, True], ids=["new", "overwrite"])
SHARE = 9
"""One call in so many is tried in the usual run of the tests."""
KILLS = 40


@pytest.fixture
def place(tmp_path: Path) -> TrainingPlace:
    return TrainingPlace(tmp_path)


def crash_at_calls(place: TrainingPlace, kind: str, old: bool, every: int, attempts: Attempts) -> set[str]:
    """End a run at its first call that changes a file, and at every so many later ones; the states that were left."""
    states: set[str] = set()
    # where files are renamed, a power cut that takes all new names would take what no power cut takes
    root = place.directory if old else place.place
    for number in itertools.count(1, every):
        place.reset(old)
        ended = run_with(Fault(kind, number), root, place.train(*(["--overwrite"] if old else [])))
        if not ended.reached:
            assert ended.code == 0, ended
            return states
        with attempts.attempt(f"{kind} at call {number}"):
            assert ended.code == KILLED, ended
            states.add(place.check(old))
    raise AssertionError


def expected_states(old: bool) -> set[str]:
    return {"old", "new"} if old else {"nothing", "new"}


@WAYS
def test_a_run_survives_a_kill_at_some_calls(place: TrainingPlace, old: bool, attempts: Attempts) -> None:
    assert crash_at_calls(place, "kill", old, SHARE, attempts) == expected_states(old)
    attempts.check()


@pytest.mark.chaos
@pytest.mark.parametrize("kind", KINDS)
@WAYS
def test_a_run_survives_a_crash_at_any_call(place: TrainingPlace, old: bool, kind: str, attempts: Attempts) -> None:
    assert crash_at_calls(place, kind, old, 1, attempts) == expected_states(old)
    attempts.check()


def fail_at_calls(place: TrainingPlace, code: int, old: bool, every: int, attempts: Attempts) -> None:
    for number in itertools.count(1, every):
        place.reset(old)
        ended = run_with(Fault("error", number, code), place.place, place.train(*(["--overwrite"] if old else [])))
        if not ended.reached:
            assert ended.code == 0, ended
            return
        with attempts.attempt(f"{os.strerror(code)} at call {number}"):
            if ended.code:
                assert ended.code == 1, ended
                assert ended.output.startswith("trainer: error: "), ended
                assert ended.output.count("\n") == 1, ended
                assert os.strerror(code) in ended.output, ended
                assert str(place.place) in ended.output, ended
                assert ".partial" not in ended.output, ended
            place.check(old)


def test_a_run_says_one_line_of_a_full_disk_at_some_calls(place: TrainingPlace, attempts: Attempts) -> None:
    fail_at_calls(place, errno.ENOSPC, True, SHARE, attempts)
    attempts.check()


@pytest.mark.chaos
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=os.strerror)
@WAYS
def test_a_run_says_one_line_of_an_error_of_any_call(
    place: TrainingPlace, old: bool, code: int, attempts: Attempts
) -> None:
    fail_at_calls(place, code, old, 1, attempts)
    attempts.check()


@pytest.mark.chaos
@WAYS
def test_a_run_survives_kills_at_random_moments(
    place: TrainingPlace, old: bool, attempts: Attempts, moments: random.Random
) -> None:
    options = ["--overwrite"] if old else []
    place.reset(old)
    started = time.perf_counter()
    assert run(place.train(*options)).code == 0
    usual = time.perf_counter() - started
    for number in range(KILLS):
        place.reset(old)
        with attempts.attempt(f"kill {number}"):
            run_and_kill(place.train(*options), usual, moments)
            place.check(old)
    attempts.check()


@pytest.mark.chaos
def test_a_run_killed_again_and_again_while_it_resumes_ends_alike(
    place: TrainingPlace, attempts: Attempts, moments: random.Random
) -> None:
    for number in range(KILLS // 4):
        place.reset(old=False)
        with attempts.attempt(f"run {number}"):
            run_and_kill(place.train(), 0.3, moments)
            for _ in range(4):
                if (place.directory / "config.json").is_file():
                    run_and_kill(place.train("--resume"), 0.3, moments)
            place.check(old=False)
    attempts.check()
