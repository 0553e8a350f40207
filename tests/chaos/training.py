"""Runs of `trainer run` on an engine in NumPy, in processes that may die, and what has to be there afterwards."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

import cli
from tests.chaos.cases import Work
from tests.chaos.children import Ended, run
from tests.support import interrupted
from tests.support.numpy_engine import NumpyEngine
from tests.support.tiny import examples, write_dataset
from trainer.reporters import console  # noqa: F401  (here, so that no child has to)
from trainer.runs.replacing import put_back
from trainer.training import epochs, loop
from trainer.training.code_identity import code_sha256

SAMPLES = 30
Content = dict[str, bytes]


class TrainingPlace:
    """A dataset, an old run and what a new one of other settings comes to.

    Attributes:
        directory: of the run. old: every file of the old run. expected: `what_counts` of the new one.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.place = root, root / "place"
        self.directory = self.place / "run"
        ids, clean, pixels = examples(SAMPLES)
        labels = np.where(ids < 9, (clean + 1) % 3, clean)
        write_dataset(root / "set", (ids, labels, pixels), examples(9), labels="noisy", clean_labels=clean)
        code_sha256()  # asked for here, so that no child has to
        self.place.mkdir()
        self.check_ends(run(self.train(seed=1)))
        self.old = content(self.directory)
        self.directory.rename(root / "old")
        self.check_ends(run(self.train()))
        self.expected = interrupted.what_counts(self.directory)

    def train(self, *options: str, seed: int = 0) -> Work:
        """`trainer run` with other settings for another seed, and without any for a resume."""
        settings = ["--epochs", "2", "--batch-size", "10", "--seed", str(seed), "--data", str(self.root / "set")]
        given = [] if "--resume" in options else [*settings, "--preset", "quick"]
        return trainer("run", "default", "--quiet", "--run-dir", str(self.directory), *given, *options)

    def reset(self, old: bool) -> None:
        """Nothing there, or the old run."""
        shutil.rmtree(self.place)
        self.place.mkdir()
        if old:
            shutil.copytree(self.root / "old", self.directory)

    def check(self, old: bool) -> str:
        """The old run is there, whole, or nothing, or one that a resume ends as if it had not been disturbed."""
        put_back(self.directory)
        now = content(self.directory) if self.directory.exists() else {}
        if old and now == self.old:
            self.check_ends(run(self.train("--overwrite")))
            state = "old"
        else:
            state = "new" if now else "nothing"
            assert not old or now, "the old run is gone"
            self.check_ends(run(self.train("--resume") if now else self.train()))
        assert interrupted.what_counts(self.directory) == self.expected
        hidden = [path.name for path in self.directory.iterdir() if path.name.startswith(".")]
        assert hidden == [], hidden
        return state

    def check_ends(self, ended: Ended) -> None:
        assert ended.code == 0, ended


def trainer(*arguments: str) -> Work:
    """What a child has to do to be `trainer ARGUMENTS`, with an engine that needs no framework."""

    def work() -> None:
        patched: Any = loop
        patched.make_engine = NumpyEngine
        epochs.CPU_SLICE_SECONDS = 0.0  # a slice is one step
        os.environ.pop("TRAINER_COMPILATION_CACHE", None)
        cli.trainer.main(list(arguments), prog_name="trainer")

    return work


def content(directory: Path) -> Content:
    """Every file but what a kill left half-written, which the next writer removes."""
    files = interrupted.content(directory)
    return {name: data for name, data in files.items() if not name.endswith(".partial")}
