"""Transition matrices before and after refurbishment, and confusion matrices: counts, added over the runs of a group.

Clean labels are the dataset's. They are read only where the dataset still is what the run was trained on: dataset.json
with the same SHA-256, and the same labels in its manifest as in samples.h5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from trainer.report.collect import FinishedRun, printable
from trainer.runs.directory import SAMPLES_FILE

MAX_CLASSES = 2_000
"""Beyond it a matrix is no picture."""


@dataclass(frozen=True)
class Transitions:
    """What became of the labels of a group's training samples.

    Attributes:
        before: (K, K) int64, samples by clean label (row) and given label (column), over all runs.
        after: the same by the label after refurbishment, the refurbished one where there is one and else the given
            one; None where no run refurbished any.
        runs: how many runs are in it.
    """

    before: np.ndarray
    after: np.ndarray | None
    runs: int


class Datasets:
    """The datasets of runs, each opened once."""

    def __init__(self) -> None:
        self._clean: dict[tuple[str, str], tuple[np.ndarray, np.ndarray] | str] = {}
        self._names: dict[tuple[str, str], tuple[str, ...]] = {}

    def class_names(self, run: FinishedRun) -> tuple[str, ...] | None:
        """The names of the classes, or None where the dataset is gone."""
        self.labels(run)
        return self._names.get(_key(run))

    def labels(self, run: FinishedRun) -> tuple[np.ndarray, np.ndarray] | str:
        """Clean and given labels of the training split, (N,) int64 each in id order; or why they are not known."""
        key = _key(run)
        if key not in self._clean:
            try:
                self._clean[key] = self._read(key)
            except (DataToolsError, OSError) as error:
                self._clean[key] = printable(" ".join(str(error).split()))
        return self._clean[key]

    def _read(self, key: tuple[str, str]) -> tuple[np.ndarray, np.ndarray] | str:
        path, sha256 = key
        if not path or not Path(path).is_dir():
            return "its dataset is not there any more"
        dataset = open_dataset(path)
        if dataset.sha256 != sha256:
            return "its dataset is another one now (dataset.json has another SHA-256)"
        self._names[key] = dataset.metadata.class_names
        if dataset.metadata.num_classes > MAX_CLASSES:
            return f"its dataset has more than {MAX_CLASSES:,} classes"
        return _labels(dataset)


def transitions(members: Sequence[FinishedRun], datasets: Datasets) -> tuple[Transitions | None, list[str]]:
    """The matrices of a group, and a line for each run that is not in them."""
    before: np.ndarray | None = None
    after: np.ndarray | None = None
    counted, notes, refurbished = 0, [], False
    for run in members:
        found = _run_matrices(run, datasets)
        if isinstance(found, str):
            notes.append(f"{printable(str(run.directory))}: {found}")
            continue
        if before is not None and before.shape != found[0].shape:
            notes.append(f"{printable(str(run.directory))}: has another number of classes than the runs before it")
            continue
        before = found[0] if before is None else before + found[0]
        after = found[1] if after is None else after + found[1]
        refurbished |= found[2]
        counted += 1
    if before is None:
        return None, notes
    return Transitions(before, after if refurbished else None, counted), notes


def shares(counts: np.ndarray) -> np.ndarray:
    """(K, K) float64: the share of each row's samples in each column; a row without samples is zeros."""
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def confusion(members: Sequence[FinishedRun]) -> np.ndarray | None:
    """(K, K) int64, test images by class (row) and prediction (column) after the last epoch, over all runs.

    None where result.json has none, or none of the form expected.
    """
    total: np.ndarray | None = None
    for run in members:
        matrices = run.result.get("confusion_matrix")
        found = _square(matrices.get("last") if isinstance(matrices, dict) else None)
        if found is None or (total is not None and total.shape != found.shape):
            return None
        total = found if total is None else total + found
    return total


def class_errors(members: Sequence[FinishedRun]) -> np.ndarray | None:
    """(runs, K) float64 test error of each class after the last epoch, not-a-number where a class has no images."""
    own = [confusion([run]) for run in members]
    if confusion(members) is None:
        return None
    counts = [np.asarray(matrix) for matrix in own]
    with np.errstate(invalid="ignore"):
        return np.array([1 - np.diag(matrix) / matrix.sum(axis=1) for matrix in counts])


def _key(run: FinishedRun) -> tuple[str, str]:
    path, sha256 = (run.config["dataset"].get(key) for key in ("path", "sha256"))
    return (path, sha256) if isinstance(path, str) and isinstance(sha256, str) and "\0" not in path else ("", "")


def _labels(dataset: Dataset) -> tuple[np.ndarray, np.ndarray] | str:
    clean, manifest = dataset.clean_labels(), dataset.manifest()
    if clean is None:
        return "nobody knows its clean labels"
    if manifest is None:
        return clean, clean
    if manifest.replaced_by is not None:
        return "open-set noise replaces images, not labels"
    return clean, manifest.noisy_labels.astype(np.int64)


def _run_matrices(run: FinishedRun, datasets: Datasets) -> tuple[np.ndarray, np.ndarray, bool] | str:
    """Counts before and after, (K, K) int64, and whether any label was refurbished; or why there are none."""
    known = datasets.labels(run)
    if isinstance(known, str):
        return known
    clean, noisy = known
    try:
        with h5py.File(run.directory / SAMPLES_FILE, "r") as file:
            given, refurbished = (_column(file, name, len(clean)) for name in ("given_label", "refurbished_label"))
            kept = (
                ~_column(file, "held_out", len(clean)).astype(bool) if "held_out" in file else np.ones(len(clean), bool)
            )
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        return f"{SAMPLES_FILE} cannot be read ({' '.join(str(error).split())[:200]})"
    if not np.array_equal(given, noisy):
        return f"{SAMPLES_FILE} and its dataset have other labels"
    count = len(datasets.class_names(run) or ())
    if len(clean) and not -1 <= refurbished.min() <= refurbished.max() < count:
        return f"{SAMPLES_FILE} has refurbished labels that are no class"
    after = np.where(refurbished >= 0, refurbished, given)
    tables = [_counts(clean[kept], labels[kept], count) for labels in (given, after)]
    return tables[0], tables[1], bool((refurbished[kept] >= 0).any())


def _column(file: Any, name: str, records: int) -> np.ndarray:
    # a forged file must not make it read more than the dataset accounts for
    if file[name].shape != (records,):
        raise ValueError(f"{name} has the shape {file[name].shape}, ({records},) is expected")
    return np.asarray(file[name][()]).astype(np.int64)


def _counts(rows: np.ndarray, columns: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(rows * count + columns, minlength=count**2).reshape(count, count)


def _square(value: Any) -> np.ndarray | None:
    try:
        matrix = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    side = len(matrix) if matrix.ndim == 2 else 0
    if matrix.shape != (side, side) or not 0 < side <= MAX_CLASSES or not ((matrix >= 0) & (matrix < 2**53)).all():
        return None
    return matrix.astype(np.int64)
