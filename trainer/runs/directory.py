"""What a run directory holds: config.json, metrics.csv, samples.h5, weights.h5, result.json (docs/format.md).

checkpoint.h5 is written by `trainer.training.checkpoint`; who may write is for `trainer.runs.replacing` to say.
"""

from __future__ import annotations

import csv
import json
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from datatools.files.output import atomic_file, atomic_hdf5
from datatools.files.syncing import fsync_wanted, sync
from datatools.format.dataset import Dataset
from datatools.names import plain_name
from trainer.config import RunConfig
from trainer.data import TrainingData
from trainer.errors import TrainerError
from trainer.methods.base import Method
from trainer.runs.samples import GIVEN_LABEL, HELD_OUT, ID, filled_columns
from trainer.vectors import Features

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.csv"
SAMPLES_FILE = "samples.h5"
WEIGHTS_FILE = "weights.h5"
RESULT_FILE = "result.json"
CHECKPOINT_FILE = "checkpoint.h5"
FILES = (RESULT_FILE, CHECKPOINT_FILE, METRICS_FILE, SAMPLES_FILE, WEIGHTS_FILE, CONFIG_FILE)
"""config.json is the last: it says what the others belong to."""
SCALING = "features"
"""The group of weights.h5 with the scaling of the features that the run was trained on."""
EVENTS_FOLDER = "tensorboard"
"""Where the event files are, in the run directory."""
PACKAGES = ("selfie-noisy-labels", "keras", "tensorflow", "jax", "jaxlib", "numpy", "h5py")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write a file of a run into one line.

    Raises:
        TrainerError: the block ends with an OSError.
    """
    try:
        yield
    except OSError as error:
        raise TrainerError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or see to its folder, and go on with "
            "--resume"
        ) from None


class RunLog:
    """Writes metrics.csv row by row, as the run goes on."""

    def __init__(self, directory: Path, columns: list[str], rows: Sequence[dict[str, Any]] = ()) -> None:
        """Start metrics.csv with `rows`, of a run that is resumed."""
        self.directory, self.columns = directory, columns
        path = directory / METRICS_FILE
        with write_errors(path):
            with (
                atomic_file(path, sole_writer=True) as partial,
                partial.open("w", newline="", encoding="utf-8") as file,
            ):
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows(self._cells(row) for row in rows)
            self._file = path.open("a", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file, lineterminator="\n")

    def epoch(self, row: dict[str, Any]) -> None:
        """Append a row to metrics.csv; a value that does not exist in this epoch stays empty."""
        with write_errors(self.directory / METRICS_FILE):
            self._csv.writerow(self._cells(row))
            self._file.flush()

    def sync(self) -> None:
        """Wait until the rows are on the disk, as a checkpoint that holds them does."""
        if fsync_wanted():
            with write_errors(self.directory / METRICS_FILE):
                sync(self.directory / METRICS_FILE)

    def _cells(self, row: dict[str, Any]) -> list[str]:
        return [_text(row.get(column)) for column in self.columns]

    def close(self) -> None:
        with suppress(OSError):  # each row is flushed: only what could not be written is left to fail again
            self._file.close()


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def default_directory(config: RunConfig, dataset: Dataset) -> Path:
    """Where a run goes that no directory is named for: runs/DATASET/METHOD-NETWORK-seedSEED.

    Raises:
        TrainerError: the dataset's name would lead elsewhere.
    """
    name = plain_name(dataset.metadata.name, f"{dataset.path}: the dataset's name", TrainerError)
    return Path("runs") / name / f"{config.method}-{config.network}-seed{config.seed}"


def write_config(
    directory: Path, config: RunConfig, dataset: Dataset, identity: dict[str, Any], features: Features | None = None
) -> None:
    """config.json: every setting resolved, and what the run stands on."""
    of_features = {} if features is None else {"features_file": _features_file(features)}
    write_json(
        directory / CONFIG_FILE,
        {
            **config.to_json(),
            "dataset": {
                "name": dataset.metadata.name,
                "path": str(dataset.path.absolute()),
                "sha256": identity["dataset"],
                "train_records": dataset.metadata.num_records("train"),
                "noise": dataset.metadata.noise,
            },
            **of_features,
            "device": identity["device"],
            "device_asked": config.device,
            "code_sha256": identity["code"],
            "versions": versions(),
        },
    )


def _features_file(features: Features) -> dict[str, Any]:
    return {
        "path": str(features.path.absolute()),
        "sha256": features.sha256,
        "numbers": features.size,
        "backbone": features.backbone,
    }


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that a run's results can depend on."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; lists of numbers stay on one line."""
    text = json.dumps(value, indent=2, allow_nan=False)
    text = re.sub(
        r"\[[\s\d.,e+-]+\]", lambda match: " ".join(match[0].split()).replace("[ ", "[").replace(" ]", "]"), text
    )
    with write_errors(path), atomic_file(path, sole_writer=True) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def write_samples(path: Path, data: TrainingData, memory: dict[str, np.ndarray], method: Method) -> None:
    """samples.h5: what the run ended with, a row a training sample of the dataset, in id order.

    What is not kept, and what is not known of held-out samples, is written as the column's declaration says.

    Args:
        memory: the engine's and the method's, by name; a row a sample that was trained on.
    """
    count = data.num_samples + len(data.validation_ids)
    labels = np.empty(count, np.int32)
    labels[data.ids] = data.train_labels
    if data.validation_labels is not None:
        labels[data.validation_ids] = data.validation_labels
    columns: dict[str, np.ndarray] = {ID: np.arange(count, dtype=np.uint32), GIVEN_LABEL: labels}
    values = {**memory, **method.sample_values(memory)}
    for column in filled_columns(method):
        shape = (count, data.num_classes) if column.each_class else (count,)
        columns[column.name] = np.full(shape, column.missing, column.dtype)
        if column.name in values:
            columns[column.name][data.ids] = values[column.name]
    if data.validation_labels is not None:
        columns[HELD_OUT] = np.isin(columns[ID], data.validation_ids)
    write_arrays(path, columns)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays into an HDF5 file, atomically."""
    with write_errors(path), atomic_hdf5(path, sole_writer=True, core=True) as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values)
