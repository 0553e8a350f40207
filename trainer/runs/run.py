"""A run directory, opened: its settings, its figures, its samples and its networks.

What is in it is somebody's files. Each is checked as it is read, and what is wrong with one is one line.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datatools.format.dataset import Dataset, open_dataset
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.runs.config_file import ConfigFile, read_config_file
from trainer.runs.directory import METRICS_FILE, RESULT_FILE, SAMPLES_FILE
from trainer.runs.reading import read_text, readable
from trainer.runs.replacing import put_back
from trainer.runs.result import Result, read_result
from trainer.runs.samples import read_samples
from trainer.vectors import Scaling


@dataclass(frozen=True, repr=False)
class Run:
    """A run that `load_run` opened, finished or not.

    Attributes:
        directory: where it is. config_file: its config.json, as far as every version of it agrees.
    """

    directory: Path
    config_file: ConfigFile

    @cached_property
    def config(self) -> RunConfig:
        """Its settings.

        Raises:
            TrainerError: config.json has others than this version knows.
        """
        return self.config_file.run_config()

    @cached_property
    def dataset_path(self) -> Path:
        """Of the dataset it was trained on, as config.json has it.

        Raises:
            TrainerError: config.json does not say it.
        """
        return self.config_file.dataset_path()

    @property
    def finished(self) -> bool:
        """Whether it came to its end: result.json is written last."""
        return is_finished(self.directory)

    @cached_property
    def result(self) -> Result:
        """result.json (docs/format.md), a dictionary; errors are fractions.

        Raises:
            TrainerError: the run is not finished, or the file is damaged.
        """
        if not self.finished:
            raise TrainerError(f"{self.directory}: not finished; go on with it by resume=True, or --resume")
        return read_result(self.directory)

    @cached_property
    def metrics(self) -> dict[str, np.ndarray]:
        """Each column of metrics.csv: (epochs of all restarts so far,) float64, not-a-number where a cell is empty.

        "epoch" and "test_error" are there and have no gap.

        Raises:
            TrainerError: it is not there, or damaged.
        """
        path = self.directory / METRICS_FILE
        with readable(path):
            return read_metrics(path)

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Each column of samples.h5, the training sample of id i at i.

        Raises:
            TrainerError: the run is not finished, or the file is damaged.
        """
        return self.read_samples()

    def read_samples(
        self, names: Collection[str] | None = None, num_classes: int | None = None
    ) -> dict[str, np.ndarray]:
        """Some columns of samples.h5; see `samples.read_samples`."""
        count = self.config_file.dataset.train_records
        return read_samples(self.directory / SAMPLES_FILE, count, names, num_classes)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset it was trained on.

        Raises:
            DataToolsError: it is not where it was.
        """
        path = self.dataset_path
        try:
            return open_dataset(path)
        except OSError as error:  # such as a name that is too long
            raise TrainerError(f"{path!s:.200}: cannot be opened ({error.strerror})") from None

    @property
    def identity(self) -> dict[str, Any]:
        """What a resume may not differ in, as far as config.json tells it (`training.checkpoint.differences`).

        Raises:
            TrainerError: config.json does not tell it.
        """
        file = self.config_file
        return {
            "settings": self.config.to_json(),
            "dataset": file.dataset_sha256(),
            "features": file.features_sha256(),
        }

    def weights(self, which: str = "last", number: int = 1) -> list[np.ndarray]:
        """The arrays of a network, in the order of `keras.Model.weights`; see `weights.read_weights`."""
        from trainer.runs.weights import read_weights

        return read_weights(self.directory, which, number)

    def network(self, which: str = "last", number: int = 1) -> Any:
        """A keras.Model from standardised images, or features, to (B, K) logits; see `weights.load_network`."""
        from trainer.runs.weights import load_network

        return load_network(self.directory, which, number)

    @property
    def scaling(self) -> Scaling | None:
        """What the features that it was trained on were standardised by; None for a run on images.

        Raises:
            TrainerError: the run is not finished, or weights.h5 is damaged.
        """
        from trainer.runs.weights import read_scaling

        return None if self.config.features is None else read_scaling(self.directory)

    def to_dict(self) -> dict[str, Any]:
        """Settings and, of a finished run, result.json, as plain values: a line of a table of runs."""
        values: dict[str, Any] = {"directory": str(self.directory), "finished": self.finished, **self.config.to_json()}
        return values | ({"result": dict(self.result)} if self.finished else {})

    def __repr__(self) -> str:
        state = "not finished"
        if self.finished:
            best, last = self.result.best_test_error, self.result.last_test_error
            state = f"test error best {best:.2%}, last {last:.2%}"
        file = self.config_file
        return f"<Run {file.method}, {file.network}, seed {file.seed} at {self.directory}: {state}>"


def load_run(directory: Path | str) -> Run:
    """Open a run directory.

    Example:
        >>> run = load_run("runs/digits-pair-0.4-seed0/selfie-small-cnn-seed0")  # doctest: +SKIP
        >>> run.result["last_test_error"]  # doctest: +SKIP
        0.0648

    Raises:
        TrainerError: no run is there, or its config.json is not what this version writes.
    """
    run = open_run(Path(directory))
    _ = run.config, run.dataset_path, run.identity  # checked now, and not when they are first asked for
    return run


def open_run(directory: Path) -> Run:
    """Open a run directory of any version: `Run.config` may not be known to this one.

    Raises:
        TrainerError: no run is there.
    """
    return Run(directory, read_config_file(directory))


def is_finished(directory: Path) -> bool:
    """Whether a finished run is there: result.json is written last."""
    put_back(directory)
    return (directory / RESULT_FILE).is_file()


def epochs_done(directory: Path) -> int:
    """Epochs that metrics.csv has, over all restarts; 0 without one."""
    try:
        return max(0, (directory / METRICS_FILE).read_bytes().count(b"\n") - 1)
    except OSError:
        return 0


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """Each column of a metrics.csv: (epochs,) float64, with not-a-number where a cell is empty.

    Raises:
        OSError, ValueError, csv.Error: it is not there, has no epoch, or is damaged. "epoch" and "test_error" have to
            be in it, without gaps, the latter as fractions.
    """
    rows = list(csv.DictReader(read_text(path).splitlines()))
    if not rows:
        raise ValueError("no epoch in it")
    metrics = {key: np.array([float(row[key] or "nan") for row in rows]) for key in rows[0]}
    for key in ("epoch", "test_error"):
        if key not in metrics or not np.isfinite(metrics[key]).all():
            raise ValueError(f"no column {key}, or gaps in it")
    if not ((metrics["test_error"] >= 0) & (metrics["test_error"] <= 1)).all():
        raise ValueError("test_error is no fraction")
    return metrics
