"""What every noise type is asked for: one line of options a type, for a parent of ten classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datatools.format.dataset import open_dataset
from datatools.noise import NOISE_TYPES
from datatools.noise.base import GIVEN
from tests.support.factories import clean_dataset
from tests.support.label_files import human_columns, write_pt

RECORDS, CLASSES = 60, 10


def matrix_path(folder: Path) -> Path:
    path = folder / "confusion.csv"
    np.savetxt(path, np.eye(CLASSES) * 0.5 + 0.05, delimiter=",")
    return path


def labels_path(folder: Path) -> Path:
    return write_pt(folder / "human.pt", human_columns(open_dataset(folder / "clean").labels("train"), CLASSES))


def list_path(folder: Path) -> Path:
    path = folder / "given.csv"
    clean = open_dataset(folder / "clean").labels("train")
    wrong = np.where(np.arange(RECORDS) % 3, clean, (clean + 1) % CLASSES)
    rows = np.column_stack([np.arange(RECORDS), wrong])[::-1]
    np.savetxt(path, rows, "%d", delimiter=",", header="id,label", comments="")
    return path


def donor_path(folder: Path) -> Path:
    return clean_dataset(folder / "donor", train=70, shape=(3, 4, 4), seed=5).path


OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    **{name: lambda folder: {"rate": 0.4} for name, spec in NOISE_TYPES.items() if spec.needs == ("rate",)},
    "matrix": lambda folder: {"matrix": matrix_path(folder)},
    "human": lambda folder: {"labels": labels_path(folder), "column": "worse_label"},
    "file": lambda folder: {"labels": list_path(folder)},
    "open-set": lambda folder: {"rate": 0.4, "donor": donor_path(folder)},
}
"""One line for every noise type: the options it needs; each gets a folder in which the parent is `clean`."""
CASES = [(name, sampling) for name, spec in NOISE_TYPES.items() for sampling in spec.samplings]


def asked(noise: str, sampling: str, folder: Path) -> dict[str, Any]:
    return {"noise": noise, "sampling": None if sampling == GIVEN else sampling, **OPTIONS[noise](folder)}
