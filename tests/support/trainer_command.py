"""`trainer` called as a person calls it: in this process, and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from datatools.format.dataset import Dataset
from tests.support.tiny import examples, write_dataset

REPOSITORY = Path(__file__).parents[2]
TRAINER = "from cli import trainer; trainer(prog_name='trainer')"


class Answer(NamedTuple):
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python process of its own in the working directory, as quiet as its terminal is absent."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100"}
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "KERAS_BACKEND"):
        environment.pop(name, None)  # what this process has set does not quieten that one
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


def noisy(directory: Path, name: str = "noisy") -> Dataset:
    """30 small images, some with wrong labels."""
    ids, clean, pixels = examples(30)
    labels = clean.copy()
    labels[:9] = (labels[:9] + 1) % 3
    return write_dataset(directory / name, (ids, labels, pixels), examples(9), labels="noisy", clean_labels=clean)
