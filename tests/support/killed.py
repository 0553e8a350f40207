"""A program that kills a run with SIGKILL again and again, until it is finished.

`python -m tests.support.killed DATASET DIRECTORY SEED` trains `DIRECTORY/whole` without a kill and `DIRECTORY/killed`
with many, some at chosen points of the code and some at random moments, and prints how often it killed. TensorFlow is
imported once: each process is a fork of this one, which itself computes nothing.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from datatools.format.dataset import Dataset, open_dataset
from tests.support.interrupted import Silent, config_for
from trainer import metrics
from trainer.config import RunConfig
from trainer.engine import load_backend
from trainer.metrics import EpochRow
from trainer.reporters.base import RunPlan
from trainer.runs.directory import RunLog
from trainer.training import epochs
from trainer.training.checkpoint import read_checkpoint
from trainer.training.code_identity import code_sha256
from trainer.training.loop import train

RANDOM_KILLS = 20
LONGEST_DELAY = 0.015
"""Seconds from an event to a random kill: a few steps."""
MOST_EVENTS = 8
EPOCHS = 30
SELFIE = {"warm_up": 2, "history_length": 2, "restarts": 1}
START, STEP, EPOCH = b"s", b"t", b"e"

Hook = Callable[[], None]


class Telling(Silent):
    """Writes a byte into a pipe for every event."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self.pipe = pipe

    def start(self, plan: RunPlan) -> None:
        os.write(self.pipe, START)

    def steps(self, done: int, total: int) -> None:
        os.write(self.pipe, STEP)

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        os.write(self.pipe, EPOCH)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner: Any, name: str, number: int, after: bool = False) -> Hook:
    """A hook that kills the process at the `number`th call of `owner.name`, before it or after it."""

    def install() -> None:
        original, calls = getattr(owner, name), 0

        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number and not after:
                die()
            result = original(*arguments, **named)
            if calls == number:
                die()
            return result

        setattr(owner, name, counted)

    return install


def at_replace(file: str, number: int = 1, after: bool = False) -> Hook:
    """A hook that kills the process when `file` is about to take its place, or has just taken it."""

    def install() -> None:
        original, calls = Path.replace, 0

        def replace(path: Path, target: Any) -> Path:
            nonlocal calls
            calls += path.name == f".{file}.partial"
            now = calls == number and path.name == f".{file}.partial"
            if now and not after:
                die()
            result = original(path, target)
            if now:
                die()
            return result

        Path.replace = replace  # type: ignore[method-assign, assignment]

    return install


def early_points() -> list[Hook]:
    """Where kills hurt, from the start of a run on; each of these sessions gets past its own first epochs."""
    return [
        at_replace("config.json"),
        at_replace("config.json", after=True),
        at_replace("metrics.csv"),
        at_call(h5py.Group, "create_dataset", 5),
        at_replace("checkpoint.h5", 2),
        at_replace("checkpoint.h5", 2, after=True),
        at_call(h5py.Group, "create_dataset", 60),
        at_call(RunLog, "epoch", 2, after=True),
        at_call(metrics, "evaluation_metrics", 2),
    ]


def late_points() -> list[Hook]:
    """The end of a run."""
    return [at_replace("samples.h5"), at_replace("weights.h5"), at_replace("result.json")]


class Killer:
    """Starts the sessions of one run, kills them and looks at what they leave."""

    def __init__(self, config: RunConfig, dataset: Dataset, directory: Path) -> None:
        self.config, self.dataset, self.directory = config, dataset, directory
        self.saved, self.kills = 0, 0

    def session(self, hook: Hook | None, kill_after: tuple[int, float] | None = None) -> bool:
        """One process, from its start or resume to its end; whether it was killed.

        Args:
            kill_after: how many events it may tell of before it is killed, and seconds from then on.
        """
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            os.close(reads)
            self._train(hook, writes)
        os.close(writes)
        saved = self._listen(reads, child, kill_after)
        os.close(reads)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or os.waitstatus_to_exitcode(status) == 0, status
        self.kills += killed
        self._look(saved)
        return killed

    def _train(self, hook: Hook | None, pipe: int) -> None:
        """In the forked process, which ends here."""
        code = 1
        try:
            if hook is not None:
                hook()
            train(self.config, self.dataset, self.directory, Telling(pipe), resume=True)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _listen(self, pipe: int, child: int, kill_after: tuple[int, float] | None) -> int:
        """Follow a session to its end; the number of epochs it said were saved."""
        events = b""
        while more := os.read(pipe, 1 if kill_after else 1 << 16):
            events += more
            if kill_after and len(events) > kill_after[0]:
                time.sleep(kill_after[1])
                os.kill(child, signal.SIGKILL)
                kill_after = None
        return events.count(EPOCH)

    def _look(self, saved: int) -> None:
        """What was told as saved is there, whole, in the checkpoint and in metrics.csv."""
        checkpoint = self.directory / "checkpoint.h5"
        rows = read_checkpoint(checkpoint).progress.rows if checkpoint.exists() else ()
        assert len(rows) >= self.saved + saved, (len(rows), self.saved, saved)
        self.saved = len(rows)
        if rows:
            lines = (self.directory / "metrics.csv").read_text(encoding="utf-8").split("\n")[1:-1]
            assert len(lines) >= len(rows), (lines, len(rows))
            for line, row in zip(lines, rows, strict=False):
                assert line.startswith(f"{row.run},{row.epoch},"), (line, row)


def main(dataset_path: Path, directory: Path, seed: int) -> None:
    load_backend("tensorflow")
    import trainer.engine.tensorflow  # noqa: F401  (imported here, so that no fork has to)
    from trainer.networks import small_cnn

    small_cnn.FILTERS, small_cnn.DENSE_UNITS = (4, 8), 16  # type: ignore[assignment]  # quick to trace
    epochs.CPU_SLICE_SECONDS = 0.0  # a slice is one step
    code_sha256()  # asked for here, so that every fork has the same: an editor may be at work beside a test
    dataset = open_dataset(dataset_path)
    config = config_for("selfie", dataset, epochs=EPOCHS, method_options=SELFIE)
    assert not Killer(config, dataset, directory / "whole").session(None)
    killer, moments = Killer(config, dataset, directory / "killed"), random.Random(seed)
    for hook in early_points():
        assert killer.session(hook), "not killed where it should have been"
    for _ in range(RANDOM_KILLS):
        killer.session(None, (moments.randrange(MOST_EVENTS), moments.uniform(0, LONGEST_DELAY)))
    assert not (directory / "killed" / "result.json").exists(), "finished before the last kill"
    for hook in late_points():
        assert killer.session(hook), "not killed where it should have been"
    assert not killer.session(None)
    print(killer.kills)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
