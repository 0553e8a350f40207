"""Transition matrices before and after a method replaced labels, and confusion matrices: counts over a group's runs.

Clean labels are the dataset's. They are read only where the dataset still is what the run was trained on: dataset.json
with the same SHA-256, and the same labels in its manifest as in samples.h5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from trainer.report.collect import FinishedRun, printable
from trainer.runs.directory import SAMPLES_FILE
from trainer.runs.reading import RunFileError
from trainer.runs.samples import GIVEN_LABEL, HELD_OUT, ID, replacing_columns, replacing_labels

MAX_CLASSES = 2_000
"""Beyond it a matrix is no picture."""


@dataclass(frozen=True)
class Transitions:
    """What became of the labels of a group's training samples.

    Attributes:
        before: (K, K) int64, samples by clean label (row) and given label (column), over all runs.
        after: the same by the label after the method, its replacing one where there is one and else the given one;
            None where no run replaced any.
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
    counted, notes, is_replaced = 0, [], False
    for run in members:
        counts = _run_matrices(run, datasets)
        if isinstance(counts, str):
            notes.append(f"{printable(str(run.directory))}: {counts}")
            continue
        if before is not None and before.shape != counts[0].shape:
            notes.append(f"{printable(str(run.directory))}: has another number of classes than the runs before it")
            continue
        before = counts[0] if before is None else before + counts[0]
        after = counts[1] if after is None else after + counts[1]
        is_replaced |= counts[2]
        counted += 1
    if before is None:
        return None, notes
    return Transitions(before, after if is_replaced else None, counted), notes


def shares(counts: np.ndarray) -> np.ndarray:
    """(K, K) float64: the share of each row's samples in each column; a row without samples is zeros."""
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def confusion(members: Sequence[FinishedRun]) -> np.ndarray | None:
    """(K, K) int64, test images by class (row) and prediction (column) after the last epoch, over all runs.

    None where result.json has none, or none of the form expected.
    """
    total: np.ndarray | None = None
    for run in members:
        counts = run.result.confusion("last", MAX_CLASSES)
        if counts is None or (total is not None and total.shape != counts.shape):
            return None
        total = counts if total is None else total + counts
    return total


def class_errors(members: Sequence[FinishedRun]) -> np.ndarray | None:
    """(runs, K) float64 test error of each class after the last epoch, not-a-number where a class has no images."""
    if confusion(members) is None:
        return None
    counts = [np.asarray(confusion([run])) for run in members]
    with np.errstate(invalid="ignore"):
        return np.array([1 - np.diag(matrix) / matrix.sum(axis=1) for matrix in counts])


def _key(run: FinishedRun) -> tuple[str, str]:
    dataset = run.run.config_file.dataset
    return (dataset.path, dataset.sha256) if dataset.path is not None and dataset.sha256 is not None else ("", "")


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
    """Counts before and after, (K, K) int64, and whether any label was replaced; or why there are none."""
    known = datasets.labels(run)
    if isinstance(known, str):
        return known
    clean, noisy = known
    count = len(datasets.class_names(run) or ())
    try:
        samples = run.run.read_samples((ID, GIVEN_LABEL, HELD_OUT, *replacing_columns()), count)
    except RunFileError as error:
        return f"{SAMPLES_FILE} cannot be read ({error.reason})"
    given_labels = samples[GIVEN_LABEL]
    if not np.array_equal(given_labels, noisy):
        return f"{SAMPLES_FILE} and its dataset have other labels"
    replacing = replacing_labels(samples)
    kept = ~samples.get(HELD_OUT, np.zeros(len(clean), bool))
    after = np.where(replacing >= 0, replacing, given_labels)
    tables = [_counts(clean[kept], labels[kept], count) for labels in (given_labels.astype(np.int64), after)]
    return tables[0], tables[1], bool((replacing[kept] >= 0).any())


def _counts(rows: np.ndarray, columns: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(rows * count + columns, minlength=count**2).reshape(count, count)
