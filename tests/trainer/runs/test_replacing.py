"""A run that stands aside: put back or removed after a kill at any call, and kept apart where there are no locks."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
from pathlib import Path

import pytest

from tests.chaos.children import Child, run, run_with
from tests.chaos.faults import KILLED, Fault
from tests.support import interrupted
from trainer.errors import TrainerError
from trainer.runs.directory import write_json
from trainer.runs.replacing import LOCK_FILE, discard_replaced, put_back, run_directory, set_aside

EVENTS = "tensorboard/events.out.tfevents."
OTHERS = {"notes.txt", "tensorboard/notes.txt"}
"""What no run wrote."""
NEW = {"config.json", "checkpoint.h5", "metrics.csv", f"{EVENTS}2", *OTHERS}
FILES = ("result.json", "checkpoint.h5", "metrics.csv", "samples.h5", "weights.h5", f"{EVENTS}1", *OTHERS)


def content(directory: Path) -> dict[str, bytes]:
    """Every file but what a killed writer left, which the next one removes."""
    return {name: data for name, data in interrupted.content(directory).items() if not name.endswith(".partial")}


def write_run(directory: Path, text: str) -> None:
    for name in FILES:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    write_json(directory / "config.json", {"run": text})


def replace_run(directory: Path, until: str) -> None:
    """What `train` writes when it replaces a run, until it has a checkpoint."""
    set_aside(directory)
    write_json(directory / "config.json", {"run": "new"})
    (directory / "metrics.csv").write_text("new")
    (directory / "tensorboard").mkdir(exist_ok=True)
    (directory / "tensorboard" / "events.out.tfevents.2").write_text("new")
    if until == "checkpoint":
        (directory / "checkpoint.h5").write_text("new")
        discard_replaced(directory)


@pytest.mark.parametrize("kind", ["kill", "power cut"])
def test_after_a_kill_at_any_call_there_is_the_old_run_or_the_new(kind: str, tmp_path: Path) -> None:
    def left(directory: Path) -> dict[str, bytes]:  # nobody waits for event files
        events = EVENTS if kind == "power cut" else "none"
        return {name: data for name, data in content(directory).items() if not name.startswith(events)}

    for number in itertools.count(1):
        directory = tmp_path / str(number)
        write_run(directory, "old")
        before = left(directory)
        ended = run_with(Fault(kind, number), directory, lambda: replace_run(directory, "checkpoint"))  # noqa: B023
        assert (directory / "config.json").is_file()
        put_back(directory)
        if not ended.reached:
            break
        assert ended.code == KILLED, ended
        if left(directory) != before:
            assert NEW - {f"{EVENTS}2"} <= set(left(directory)) <= NEW
            assert b"new" in left(directory)["config.json"]
    assert number > 15
    assert ended.code == 0, ended


def test_putting_back_that_is_killed_is_taken_up_again(tmp_path: Path) -> None:
    for number in itertools.count(1):
        directory = tmp_path / str(number)
        write_run(directory, "old")
        before = content(directory)
        replace_run(directory, "config")
        ended = run_with(Fault("kill", number), directory, lambda: put_back(directory))  # noqa: B023
        put_back(directory)
        assert content(directory) == before
        if not ended.reached:
            break
    assert number > 5


def test_what_cannot_be_removed_is_never_put_over_the_new_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, "old")
    original = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == ".samples.h5.old":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        original(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        replace_run(tmp_path, "checkpoint")
        put_back(tmp_path)
    assert (tmp_path / ".samples.h5.old").is_file()
    put_back(tmp_path)
    assert set(content(tmp_path)) == NEW


# A file system without locks


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_without_flock_a_file_keeps_two_runs_apart(no_flock: None, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    with run_directory(directory):
        assert f"process {os.getpid()} on " in (directory / LOCK_FILE).read_text()
        with pytest.raises(TrainerError) as said, run_directory(directory):
            raise AssertionError
    assert f"{directory}: process {os.getpid()} on " in str(said.value)
    assert f"remove {directory / LOCK_FILE} if it has ended" in str(said.value)
    assert not directory.exists()
    with run_directory(directory):
        pass


def test_without_flock_a_kill_leaves_a_lock_that_a_person_removes(no_flock: None, tmp_path: Path) -> None:
    directory = tmp_path / "run"

    def killed() -> None:
        with run_directory(directory):
            os._exit(KILLED)

    def enter() -> None:
        with run_directory(directory):
            pass

    assert Child(killed).wait().code == KILLED
    assert "TrainerError" in run(enter).output
    (directory / LOCK_FILE).unlink()
    assert run(enter).code == 0


def test_without_flock_only_a_run_puts_back_and_no_reader(no_flock: None, tmp_path: Path) -> None:
    write_run(tmp_path, "old")
    before = content(tmp_path)
    replace_run(tmp_path, "config")
    between = content(tmp_path)
    put_back(tmp_path)
    assert content(tmp_path) == between
    with run_directory(tmp_path):
        pass
    assert content(tmp_path) == before
