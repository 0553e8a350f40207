"""Runs that are stopped and resumed from the command line, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools import convert, corrupt
from datatools.format.dataset import Dataset
from tests.support.interrupted import Crasher, CrashError, Signaller, Silent, StopAt, config_for, content
from trainer.errors import TrainerError
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train
from trainer.training.stopping import RunStoppedError

REPOSITORY = Path(__file__).parents[3]
SAMPLES = 131


@pytest.fixture(scope="module")
def dataset(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """131 digits, four in ten of their labels wrong."""
    clean = convert("digits", root=tmp_path_factory.mktemp("data"), limit=SAMPLES).dataset
    return corrupt(clean, rate=0.4, noise="pair").dataset


class Command:
    """`trainer` in a process of its own, in whose group a terminal's Ctrl-C would not reach the tests."""

    def __init__(self, *arguments: str) -> None:
        code = "from cli import trainer; trainer(prog_name='trainer')"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "run", *arguments],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not happened():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out, err


def test_a_command_that_is_told_to_stop_saves_and_another_goes_on(dataset: Dataset, tmp_path: Path) -> None:
    config, directory = config_for("default", dataset, epochs=300), tmp_path / "run"
    settings = ["--data", str(dataset.path), "--preset", "quick", "--epochs", "300", "--batch-size", "30"]
    metrics = directory / "metrics.csv"

    def rows() -> int:
        return len(metrics.read_text().splitlines()) - 1 if metrics.exists() else 0

    def further(than: int) -> bool:
        return rows() > than

    sessions = (
        (signal.SIGTERM, [*settings, "--learning-rate", "0.05"]),
        (signal.SIGINT, ["--resume"]),  # the settings are the run's
    )
    done = 0
    for number, arguments in sessions:
        command = Command("default", *arguments, "--run-dir", str(directory), "--quiet")
        command.wait_for(partial(further, done))
        with pytest.raises(TrainerError, match="another run is writing there"):
            train(config, dataset, directory, Silent(), resume=True)
        command.process.send_signal(number)
        code, out, err = command.ended()
        assert (code, out) == (1, "")
        assert len(err.splitlines()) == 1, err
        assert f"stopped by {number.name}" in err
        assert "--resume" in err
        saved = read_checkpoint(directory / "checkpoint.h5")
        assert len(saved.progress.rows) == rows() > done
        done = rows()
    # the settings that were found are those that were given, and this process takes the run up in its turn
    assert saved.identity["settings"] == config.to_json()
    # in the next epoch, since the signal may have come after the last step of this one
    place = StopAt(done + 1, 5)
    said = Signaller(place)
    with pytest.raises(RunStoppedError):
        train(config, dataset, directory, said, resume=True, force=True)
    assert said.started_with == done
    again = read_checkpoint(directory / "checkpoint.h5")
    uninterrupted = tmp_path / "whole"
    with pytest.raises(RunStoppedError):
        train(config, dataset, uninterrupted, Signaller(place))
    same = read_checkpoint(uninterrupted / "checkpoint.h5")
    assert again.progress.place == same.progress.place
    for mine, theirs in (
        (again.state, same.state),
        (again.memory, same.memory),
        (again.progress.sums, same.progress.sums),
    ):
        np.testing.assert_equal(mine, theirs)


def test_a_damaged_config_json_is_one_line(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli import trainer

    directory = tmp_path / "run"
    with pytest.raises(CrashError):
        train(config_for("default", dataset), dataset, directory, Crasher(1))
    for text in ("", "{", "[]", '{"method": "default"}', '{"drop_epochs": 3, "device": 4}', "\x00"):
        (directory / "config.json").write_text(text)
        before = content(directory)
        with pytest.raises(SystemExit) as exit:
            trainer.main(["run", "default", "--resume", "--run-dir", str(directory)])
        said = capsys.readouterr()
        assert (exit.value.code, said.out) == (1, "")
        assert len(said.err.splitlines()) == 1
        assert "config.json" in said.err
        assert content(directory) == before
