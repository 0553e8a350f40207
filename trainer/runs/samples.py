"""samples.h5: which columns there are, by the declarations of engine and methods, and reading them back."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import h5py
import numpy as np

from trainer.engine.step import LAST_LOSS, LAST_PREDICTION, MEAN_LOSS, MEAN_PROBABILITY, VISITS
from trainer.methods import METHODS
from trainer.methods.base import Method
from trainer.methods.columns import SampleColumn
from trainer.runs.reading import plain_dataset, readable

ID, GIVEN_LABEL, HELD_OUT = "id", "given_label", "held_out"
IDENTITY = (SampleColumn(ID, "uint32"), SampleColumn(GIVEN_LABEL, "int32", is_label=True))
"""Which sample a row is of."""
ENGINE_COLUMNS = (
    SampleColumn(LAST_LOSS, "float32", np.nan),
    SampleColumn(LAST_PREDICTION, "int32", -1, is_label=True),
    SampleColumn(MEAN_LOSS, "float32", np.nan),
    SampleColumn(MEAN_PROBABILITY, "float32", np.nan, each_class=True),
    SampleColumn(VISITS, "int32", 0),
)
"""What the engine remembers of each sample, whatever the method."""
OPTIONAL = (SampleColumn(HELD_OUT, "bool", 0),)
"""Of a run with held-out samples alone."""
TOLERANCE = 1e-3
"""What float32 means over many passes may be off."""


def shared_columns() -> tuple[SampleColumn, ...]:
    """The methods' columns that every run has."""
    return tuple(column for method in METHODS.values() for column in method.columns if column.in_every_run)


def promised_columns() -> tuple[SampleColumn, ...]:
    """The columns of every samples.h5, in their order."""
    return (*IDENTITY, *shared_columns(), *ENGINE_COLUMNS)


def filled_columns(method: Method | type[Method]) -> tuple[SampleColumn, ...]:
    """The columns of a run of `method` that are filled from engine and method, in their order."""
    further = tuple(column for column in method.columns if not column.in_every_run)
    return (*shared_columns(), *ENGINE_COLUMNS, *further)


def known_columns() -> dict[str, SampleColumn]:
    """Every column that a run of any method can have, by name."""
    of_methods = [column for method in METHODS.values() for column in method.columns]
    return {column.name: column for column in (*IDENTITY, *of_methods, *ENGINE_COLUMNS, *OPTIONAL)}


def replacing_columns() -> tuple[str, ...]:
    """Names of the columns whose labels take the place of given ones."""
    return tuple(name for name, column in known_columns().items() if column.replaces_label)


def replacing_labels(samples: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) int64 labels that the run's method put in the place of the given ones, -1 where there is none."""
    labels = np.full(len(samples[GIVEN_LABEL]), -1, np.int64)
    for name in replacing_columns():
        if name in samples:
            labels = np.where(samples[name] >= 0, samples[name], labels)
    return labels


def read_samples(
    path: Path, count: int, names: Collection[str] | None = None, num_classes: int | None = None
) -> dict[str, np.ndarray]:
    """Columns of a samples.h5, the training sample of id i at i.

    Args:
        count: how many samples the dataset has. names: of the columns, as far as the file has them; None for all.
        num_classes: K of the dataset; None for as many as the file has probabilities of.

    Raises:
        TrainerError: the file is not there or damaged, has not what every run has, or other forms or numbers of it.
            Nothing larger than the file itself is read.
    """
    with readable(path), h5py.File(path, "r") as file:
        for column in promised_columns():
            if not isinstance(file.get(column.name, getlink=True), h5py.HardLink):
                raise ValueError(f"no dataset '{column.name}'")
        if num_classes is None:
            num_classes = (*plain_dataset(file, MEAN_PROBABILITY).shape, 0, 0)[1]
        samples = {name: _column(file, name, count, num_classes) for name in file if names is None or name in names}
        _check(samples, num_classes)
    return samples


def _column(file: h5py.File, name: str, count: int, num_classes: int) -> np.ndarray:
    values, column = plain_dataset(file, name), known_columns().get(name)
    if column is None:  # of a method that is not known here
        if values.dtype.kind not in "biuf" or values.shape[:1] != (count,):
            raise ValueError(f"'{name}' is {values.dtype}{values.shape}, expected {count} rows of numbers")
        return np.asarray(values[()])
    shape = (count, num_classes) if column.each_class else (count,)
    if values.shape != shape or values.dtype != column.dtype:
        raise ValueError(f"'{name}' is {values.dtype}{values.shape}, expected {column.dtype}{shape}")
    return np.asarray(values[()])


def _check(samples: dict[str, np.ndarray], num_classes: int) -> None:
    """Raise ValueError where the numbers cannot be a run's; of columns that were not read nothing is said."""
    if ID in samples and not np.array_equal(samples[ID], np.arange(len(samples[ID]))):
        raise ValueError("ids are not 0, 1, 2, …")
    for name, column in known_columns().items():
        if column.is_label and name in samples:
            least = 0 if name == GIVEN_LABEL else -1
            if len(samples[name]) and not least <= samples[name].min() <= samples[name].max() < num_classes:
                raise ValueError(f"'{name}' outside {least}..{num_classes - 1}")
    if not {VISITS, MEAN_LOSS, MEAN_PROBABILITY} <= samples.keys():
        return
    seen = samples[VISITS] > 0
    loss, probability = samples[MEAN_LOSS][seen], samples[MEAN_PROBABILITY][seen]
    if not (np.isfinite(loss).all() and (loss > -TOLERANCE).all()):
        raise ValueError(f"'{MEAN_LOSS}' holds what is no loss")
    sums = probability.sum(axis=1, dtype=np.float64)
    if not ((probability > -TOLERANCE).all() and (np.abs(sums - 1) < TOLERANCE).all()):
        raise ValueError(f"'{MEAN_PROBABILITY}' holds rows that are no probabilities")
