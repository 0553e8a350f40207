"""A signal is heard at every moment: while C code blocks, while a framework is loaded, and when the screen is stuck."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datatools.format.dataset import Dataset
from tests.support.children import environment
from tests.support.interrupted import content
from trainer.training.signals import ACKNOWLEDGEMENT, REPEAT_SECONDS

BLOCKED = """
import hashlib, sys, time
from trainer.training.signals import stop_on_signals
acknowledge = {"print": lambda text: print(text, flush=True), "stuck": lambda text: time.sleep(100)}[sys.argv[1]]
with stop_on_signals(acknowledge, ends_process=True):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)
"""
"""C code that runs for many minutes, in which Python calls no handler."""
SOON = 5.0
"""Seconds, on a machine that has other things to do."""
FORMS = {"text": [], "json": ["--log-format", "json"], "quiet": ["--quiet"]}
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python with arguments, and kills it at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=pipe, stderr=pipe, text=True, env=environment(), start_new_session=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_c_code_that_blocks_keeps_no_signal_from_being_answered(number: signal.Signals, start: Start) -> None:
    process = start("-c", BLOCKED, "print")
    assert line_of(process) == "ready"
    started = time.monotonic()
    process.send_signal(number)
    assert line_of(process) == ACKNOWLEDGEMENT
    if number == signal.SIGTERM:
        time.sleep(REPEAT_SECONDS)
    process.send_signal(number)
    assert process.wait(SOON) == 128 + number
    assert time.monotonic() - started < SOON + REPEAT_SECONDS


def test_a_sigterm_that_is_sent_twice_at_once_counts_once(start: Start) -> None:
    # as timeout(1) sends it, to the process and to its group
    process = start("-c", BLOCKED, "print")
    assert line_of(process) == "ready"
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert line_of(process) == ACKNOWLEDGEMENT
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(SOON) == 130


def test_a_screen_that_is_stuck_keeps_no_second_signal_from_ending_it(start: Start) -> None:
    process = start("-c", BLOCKED, "stuck")
    assert line_of(process) == "ready"
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(SOON) == 130


# The command


def begun(start: Start, dataset: Dataset, directory: Path, *more: str) -> subprocess.Popen[str]:
    options = ["--data", str(dataset.path), "--preset", "quick", "--epochs", "300", "--run-dir", str(directory)]
    return start("-c", "import cli; cli.trainer()", "run", "default", *options, *more)


def loads_tensorflow(process: subprocess.Popen[str]) -> bool:
    """Whether the process is loading TensorFlow, or has it."""
    maps = Path(f"/proc/{process.pid}/maps")
    return "tensorflow" in maps.read_text(encoding="utf-8", errors="replace")


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="what a process has loaded is read from /proc")
@pytest.mark.parametrize("form", FORMS)
def test_a_command_that_loads_its_framework_answers_ctrl_c(
    form: str, start: Start, dataset: Dataset, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    process = begun(start, dataset, directory, *FORMS[form])
    wait_for(lambda: loads_tensorflow(process), process)
    process.send_signal(signal.SIGINT)
    if form == "text":
        assert line_of(process) == "note: loading TensorFlow…"
        assert process.stderr is not None
        assert process.stderr.readline() == f"{ACKNOWLEDGEMENT}\n"
    elif form == "json":
        for text in ("loading TensorFlow…", ACKNOWLEDGEMENT):
            assert json.loads(line_of(process)) == {"event": "note", "text": text}
    else:
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=SOON) == ("", "")
    assert process.returncode == 130
    assert not directory.exists() or not content(directory)


def test_a_second_ctrl_c_leaves_the_checkpoint_of_before(start: Start, dataset: Dataset, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    process = begun(start, dataset, directory, "--batch-size", "10")
    wait_for((directory / "checkpoint.h5").is_file, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 1
    before = content(directory)["checkpoint.h5"]
    again = begun(start, dataset, directory, "--batch-size", "10", "--resume")
    assert line_of(again) == "note: loading TensorFlow…"
    again.send_signal(signal.SIGINT)
    assert again.stderr is not None
    assert again.stderr.readline() == f"{ACKNOWLEDGEMENT}\n"
    again.send_signal(signal.SIGINT)
    assert again.wait(SOON) == 130
    assert content(directory)["checkpoint.h5"] == before
