"""Whole runs on a few digits, what they report, and how they are read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.format.dataset import Dataset
from trainer.config import RunConfig, resolve
from trainer.metrics import EpochRow
from trainer.reporters.base import Quiet, RunPlan
from trainer.training.loop import train

SAMPLES, CLASSES = 200, 10
EPOCHS, RUNS, WARM_UP = 6, 2, 2
SELFIE = {"warm_up": WARM_UP, "history_length": 2, "restarts": RUNS - 1}
TIMING = {"seconds", "images_per_second"}
FILES = {"config.json", "metrics.csv", "samples.h5", "weights.h5", "checkpoint.h5", "result.json"}
COMMON = ["run", "epoch", "learning_rate"]
COMMON += ["train_loss", "train_error", "test_loss", "test_error", "test_balanced_error", "clean_train_error"]
OF_SELFIE = ["label_precision", "label_recall", "refurbishable", "refurbished", "refurbishment_accuracy"]
Row = dict[str, str]


class Witness(Quiet):
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.plans: list[RunPlan] = []
        self.progress: list[tuple[int, int]] = []
        self.rows: list[EpochRow] = []
        self.seconds_left: list[float] = []

    def start(self, plan: RunPlan) -> None:
        self.plans.append(plan)

    def steps(self, done: int, total: int) -> None:
        self.progress.append((done, total))

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self.rows.append(row)
        self.seconds_left.append(seconds_left)


def config_for(method: str, dataset: Dataset, **settings: Any) -> RunConfig:
    return resolve(
        method,
        dataset,
        **{
            "preset": "quick",
            "network": "small-cnn",
            "epochs": EPOCHS,
            "batch_size": 25,
            "learning_rate": 0.05,
            "method_options": SELFIE if method == "selfie" else {},
            **settings,
        },
    )


class Run:
    """A finished run: its directory, what `train` returned, and what was reported."""

    def __init__(self, method: str, dataset: Dataset, directory: Path) -> None:
        self.config, self.dataset, self.directory = config_for(method, dataset), dataset, directory
        self.witness = Witness()
        self.returned = train(self.config, dataset, directory, self.witness)

    @property
    def rows(self) -> list[Row]:
        return read_rows(self.directory)

    def column(self, name: str) -> list[float]:
        return [float(row[name]) for row in self.rows]

    def json(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.directory / name).read_text(encoding="utf-8")))

    @property
    def samples(self) -> dict[str, np.ndarray]:
        with h5py.File(self.directory / "samples.h5", "r") as file:
            return {name: values[()] for name, values in file.items()}


def read_rows(directory: Path) -> list[Row]:
    with (directory / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


Runs = Callable[..., Run]
