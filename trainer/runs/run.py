"""A run directory, opened: its settings, its figures, its samples and its networks."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.format.dataset import Dataset, open_dataset
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.runs.directory import METRICS_FILE, RESULT_FILE, SAMPLES_FILE, read_config, read_finished


@dataclass(frozen=True, repr=False)
class Run:
    """A run that `load_run` opened, finished or not.

    Attributes:
        directory: where it is. config: its settings. dataset_path: of the dataset it was trained on, as config.json
            has it.
    """

    directory: Path
    config: RunConfig
    dataset_path: Path

    @property
    def finished(self) -> bool:
        """Whether it came to its end: result.json is written last."""
        return (self.directory / RESULT_FILE).is_file()

    @cached_property
    def result(self) -> dict[str, Any]:
        """result.json (docs/format.md); errors are fractions.

        Raises:
            TrainerError: the run is not finished, or the file is damaged.
        """
        if not self.finished:
            raise TrainerError(f"{self.directory}: not finished; go on with it by resume=True, or --resume")
        return read_finished(self.directory)[0]

    @cached_property
    def metrics(self) -> dict[str, np.ndarray]:
        """Each column of metrics.csv: (epochs of all restarts so far,) float64, not-a-number where a cell is empty.

        Raises:
            TrainerError: it is not there, or damaged.
        """
        with _readable(self.directory / METRICS_FILE) as path:
            return read_metrics(path)

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Each column of samples.h5, the training sample of id i at i.

        Raises:
            TrainerError: the run is not finished, or the file is damaged.
        """
        with _readable(self.directory / SAMPLES_FILE) as path, h5py.File(path, "r") as file:
            return {name: _column(file, name) for name in file}

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset it was trained on.

        Raises:
            DataToolsError: it is not where it was.
        """
        return open_dataset(self.dataset_path)

    def network(self, which: str = "last", number: int = 1) -> Any:
        """A keras.Model from (B, H, W, C) standardised images to (B, K) logits; see `weights.load_network`."""
        from trainer.runs.weights import load_network

        return load_network(self.directory, which, number)

    def to_dict(self) -> dict[str, Any]:
        """Settings and, of a finished run, result.json, as plain values: a line of a table of runs."""
        values: dict[str, Any] = {"directory": str(self.directory), "finished": self.finished, **self.config.to_json()}
        return values | ({"result": self.result} if self.finished else {})

    def __repr__(self) -> str:
        config = self.config
        state = "not finished"
        if self.finished:
            best, last = (f"{self.result[key]:.2%}" for key in ("best_test_error", "last_test_error"))
            state = f"test error best {best}, last {last}"
        return f"<Run {config.method}, {config.network}, seed {config.seed} at {self.directory}: {state}>"


def load_run(directory: Path | str) -> Run:
    """Open a run directory.

    Example:
        >>> run = load_run("runs/digits-pair-0.4-seed0/selfie-small-cnn-seed0")  # doctest: +SKIP
        >>> run.result["last_test_error"]  # doctest: +SKIP
        0.0648

    Raises:
        TrainerError: no run is there, or its config.json is not what this version writes.
    """
    directory = Path(directory)
    config, dataset_path = read_config(directory)
    return Run(directory, config, dataset_path)


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """Each column of a metrics.csv: (epochs,) float64, with not-a-number where a cell is empty.

    Raises:
        OSError, ValueError, csv.Error: it is not there, has no epoch, or is damaged. "epoch" and "test_error" have to
            be in it, without gaps.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path.name}: no epoch in it")
    metrics = {key: np.array([float(row[key] or "nan") for row in rows]) for key in rows[0]}
    for key in ("epoch", "test_error"):
        if key not in metrics or not np.isfinite(metrics[key]).all():
            raise ValueError(f"{path.name}: no column {key}, or gaps in it")
    return metrics


def _column(file: h5py.File, name: str) -> np.ndarray:
    # getlink first: a link that points into another file is not followed
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"'{name}' is a link")
    values = file[name]
    if not isinstance(values, h5py.Dataset) or values.is_virtual or values.external:
        raise ValueError(f"'{name}' is not a plain dataset")
    return np.asarray(values[()])


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """Turn whatever a file of somebody's meets while it is read into one line."""
    if not path.is_file():
        raise TrainerError(f"{path}: not there; go on with the run by resume=True, or --resume")
    try:
        yield path
    # h5py raises whatever the HDF5 library met
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, ArithmeticError, csv.Error) as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainerError(f"{path}: cannot be read ({reason}); train the run anew with --overwrite") from None
