"""A run directory: config.json, metrics.csv, samples.h5, result.json (docs/format.md).

checkpoint.h5 has its place here too; it comes with exact resume.
"""

from __future__ import annotations

import csv
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.dataset import Dataset
from trainer.config import RunConfig
from trainer.engine.step import LAST_LOSS, LAST_PREDICTION
from trainer.errors import TrainerError

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.csv"
SAMPLES_FILE = "samples.h5"
RESULT_FILE = "result.json"
PACKAGES = ("selfie-noisy-labels", "keras", "tensorflow", "numpy", "h5py")


class RunLog:
    """Writes a run directory, file by file, as the run goes on."""

    def __init__(self, directory: Path, columns: list[str]) -> None:
        self.directory, self.columns = directory, columns
        self._file = (directory / METRICS_FILE).open("w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._write(columns)

    def epoch(self, row: dict[str, Any]) -> None:
        """Append a row to metrics.csv; a value that does not exist in this epoch stays empty."""
        self._write([_text(row.get(column)) for column in self.columns])

    def _write(self, cells: list[str]) -> None:
        self._csv.writerow(cells)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def check_free(directory: Path, overwrite: bool) -> None:
    """See that a run may be written to `directory`; nothing is touched.

    Raises:
        TrainerError: a run is there and `overwrite` is not given, or something that is no run.
    """
    if directory.exists() and not directory.is_dir():
        raise TrainerError(f"{directory}: exists and is not a directory; choose another --run-dir")
    if directory.is_dir() and any(directory.iterdir()):
        if not (directory / CONFIG_FILE).is_file():
            raise TrainerError(
                f"{directory}: a directory that is not a run, never overwritten; choose another --run-dir"
            )
        if not overwrite:
            state = "finished" if (directory / RESULT_FILE).is_file() else "unfinished"
            raise TrainerError(
                f"{directory}: holds a run already ({state}); pass --overwrite to replace it, or choose another "
                "--run-dir"
            )


def clear_directory(directory: Path) -> None:
    """Make the run directory, without the files of an earlier run."""
    for name in (RESULT_FILE, METRICS_FILE, SAMPLES_FILE, CONFIG_FILE):
        (directory / name).unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)


def write_config(directory: Path, config: RunConfig, dataset: Dataset, device: str) -> None:
    """config.json: every setting resolved, and what the run stands on."""
    write_json(
        directory / CONFIG_FILE,
        {
            **config.to_json(),
            "dataset": {
                "name": dataset.metadata.name,
                "path": str(dataset.path),
                "sha256": dataset.sha256,
                "train_records": dataset.metadata.num_records("train"),
                "noise": dataset.metadata.noise,
            },
            "device": device,
            "versions": {"python": platform.python_version(), **_versions()},
        },
    )


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def write_samples(path: Path, given_labels: np.ndarray, memory: dict[str, np.ndarray]) -> None:
    """samples.h5: what the run ended with, a row a training sample, in id order.

    Args:
        given_labels: (N,) int32. memory: the engine's, by name; what a method does not keep is written as -1 or
            not-a-number.
    """
    count = len(given_labels)
    uncertainty = memory.get("uncertainty", np.full(count, np.nan, np.float32))
    columns = {
        "id": np.arange(count, dtype=np.uint32),
        "given_label": given_labels.astype(np.int32),
        "refurbished_label": memory.get("refurbished_label", np.full(count, -1, np.int32)),
        "uncertainty": np.where(np.isfinite(uncertainty), uncertainty, np.nan).astype(np.float32),
        LAST_LOSS: memory[LAST_LOSS],
        LAST_PREDICTION: memory[LAST_PREDICTION],
    }
    partial = path.with_name(f".{path.name}.partial")
    with h5py.File(partial, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values)
    partial.replace(path)
