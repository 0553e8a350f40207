"""The table of metrics, and from an epoch's sums to the columns of metrics.csv, and from its rows to result.json.

Clean labels count here alone; no method sees them. "best" is chosen on the test set and named so; "selected" is chosen
on held-out training samples with the labels they have, and never mixed with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trainer.data import TrainingData
from trainer.engine import EvaluationTotals
from trainer.engine.step import evaluation_suffixes, suffix
from trainer.methods import METHODS
from trainer.methods.base import Method
from trainer.methods.metric import Metric

TRAINING = (
    Metric("train_loss", "training loss", "nats", "loss", "samples", tag="train/loss", each_network=True),
    Metric("train_error", "training error", "share", "errors", "samples", tag="train/error", each_network=True),
    Metric(
        "clean_train_error",
        "training error against the clean labels",
        "share",
        "clean_errors",
        "samples",
        tag="train/clean_error",
        each_network=True,
        needs_clean=True,
    ),
)
"""What every method's steps tell."""
EVALUATION = tuple(
    Metric(
        f"{split}_{key}",
        f"{split} {title}",
        unit,
        tag=f"{split}/{key}",
        each_network=split == "test",
        plotted=(split, key) == ("test", "error"),
    )
    for split in ("test", "validation")
    for key, title, unit in (
        ("loss", "loss", "nats"),
        ("error", "error", "share"),
        ("balanced_error", "error, the mean of the classes' own", "share"),
    )
)
"""What evaluation tells of each split."""
PROGRESS = (
    Metric("learning_rate", "learning rate", "", tag="training/learning_rate"),
    Metric("seconds", "training time of the epoch", "seconds", tag="speed/seconds"),
    Metric("images_per_second", "speed", "images/s", tag="speed/images_per_second"),
)
LAST_EPOCHS = 10
"""Over how many epochs `mean_last10_test_error` is taken."""
Figure = float | int | None
"""The value of a metric: a count is an int; None where an epoch has none."""


@dataclass(frozen=True)
class EpochRow:
    """A finished epoch: a row of metrics.csv.

    Attributes:
        run, epoch: from 1. metrics: by column, those that training and evaluation fill.
        seconds: training time. images_per_second: over that time.
    """

    run: int
    epoch: int
    learning_rate: float
    metrics: Mapping[str, Figure]
    seconds: float
    images_per_second: float

    def value(self, key: str) -> float:
        """A metric that every epoch of the run has.

        Raises:
            KeyError: this epoch has none.
        """
        figure = self.metrics.get(key)
        if figure is None:
            raise KeyError(key)
        return figure

    def to_json(self) -> dict[str, Figure]:
        """By column of metrics.csv, as plain values for a checkpoint."""
        return {
            "run": self.run,
            "epoch": self.epoch,
            "learning_rate": self.learning_rate,
            **self.metrics,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EpochRow:
        """From what `to_json` gave.

        Raises:
            KeyError: a column that every row has is missing.
        """
        metrics = dict(values)
        others = {field.name: metrics.pop(field.name) for field in fields(cls) if field.name != "metrics"}
        return cls(metrics=metrics, **others)


def plotted_metrics() -> tuple[Metric, ...]:
    """What the report draws by epoch, of whichever method."""
    return tuple(metric for metric in _all_metrics() if metric.plotted)


def headline_metrics() -> tuple[Metric, ...]:
    """What sums up a run beside its test errors, of whichever method."""
    return tuple(metric for metric in _all_metrics() if metric.headline)


def _all_metrics() -> Iterable[Metric]:
    """Every metric once: those of all methods first, then what methods declare, in the order of the registry."""
    of_methods = (metric for method in METHODS.values() for metric in method.metrics)
    return {metric.key: metric for metric in (*TRAINING, *EVALUATION, *PROGRESS, *of_methods)}.values()


def totals(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """(steps,) sums of slices of an epoch, joined in order."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}


def training_metrics(steps: dict[str, np.ndarray], method: Method | type[Method]) -> dict[str, Figure]:
    """The columns that an epoch's training fills.

    Args:
        steps: `step.run_method`'s sums, (steps,) float32 each; added in float64, so that the result does not depend on
            how the epoch was cut into calls.
    """
    sums = {key: float(np.sum(values, dtype=np.float64)) for key, values in steps.items()}
    return {
        f"{metric.key}{mark}": metric.value(sums, mark)
        for metric in (*TRAINING, *method.metrics)
        for mark in _suffixes(metric, method)
    }


def _suffixes(metric: Metric, method: Method | type[Method]) -> list[str]:
    return [suffix(number) for number in range(method.num_networks if metric.each_network else 1)]


def evaluation_metrics(
    split: str, totals: Sequence[EvaluationTotals], method: Method | type[Method]
) -> dict[str, Figure]:
    """The columns that an evaluation fills: loss and error of all that is evaluated, and the headline's balanced error.

    Args:
        totals: as `Engine.evaluate` gives them: the headline's first.
    """
    figures: dict[str, Figure] = {}
    # an epoch is selected by the headline alone
    for mark, part in zip(evaluation_suffixes(method), totals[:1] if split == "validation" else totals, strict=False):
        confusion = part["confusion"]
        count = int(confusion.sum())
        figures[f"{split}_loss{mark}"] = part["loss"] / count
        figures[f"{split}_error{mark}"] = (count - int(np.trace(confusion))) / count
    figures[f"{split}_balanced_error"] = float(np.nanmean(class_errors(totals[0]["confusion"])))
    return figures


def class_errors(confusion: np.ndarray) -> np.ndarray:
    """(K,) share of each class's images that were taken for another; not-a-number for a class without images."""
    counts = confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((counts - np.diag(confusion)) / counts)


def columns(method: Method, data: TrainingData) -> list[str]:
    """The columns of metrics.csv: those that this method and this dataset can fill."""
    known = data.clean_labels is not None
    declared = [metric for metric in method.metrics if known or not metric.needs_clean]
    training = [metric.key for metric in TRAINING if known or not metric.needs_clean]
    names = ["run", "epoch", "learning_rate"]
    for number in range(method.num_networks):
        mark = suffix(number)
        names += [f"{key}{mark}" for key in ("train_loss", "train_error")]
        names += [f"{key}{mark}" for key in ("test_loss", "test_error")]
        names += ["test_balanced_error"] * (not number)
        names += ["test_loss_1", "test_error_1"] * (method.tested_together and not number)
        names += [f"{key}{mark}" for key in training if key not in ("train_loss", "train_error")]
        names += [f"{metric.key}{mark}" for metric in declared if metric.each_network]
    names += [metric.key for metric in EVALUATION if "validation" in data.held_out and "validation" in metric.key]
    names += [metric.key for metric in declared if not metric.each_network]
    return [*names, "seconds", "images_per_second"]


def metric_of(column: str, method: type[Method]) -> Metric | None:
    """The metric that a column of metrics.csv holds, for whichever network; None for one that no table has."""
    metrics = {metric.key: metric for metric in (*TRAINING, *EVALUATION, *PROGRESS, *method.metrics)}
    base, mark, number = column.rpartition("_")
    of_network = metrics.get(base) if mark and number.isdecimal() else None
    return metrics.get(column) or of_network


def result(method: str, rows: Sequence[EpochRow], kept: dict[str, np.ndarray], wall_seconds: float) -> dict[str, Any]:
    """result.json: the headline figures are the final run's, of the first network or of all networks together; the best
    also over all runs.

    Args:
        kept: (K, K) confusion matrices of the final run by name: "confusion/last", "confusion/best", and with held-out
            samples "confusion/selected".
    """
    numbers = sorted({row.run for row in rows})
    runs = [[row for row in rows if row.run == number] for number in numbers]
    summaries = [_summary(run) for run in runs]
    of_networks = {
        name: _errors(row.value(column) for row in runs[-1])
        for name, column in (("first_network", "test_error_1"), ("second_network", "test_error_2"))
        if column in rows[-1].metrics
    }
    matrices = {key.partition("/")[2]: kept[key] for key in sorted(kept) if key.startswith("confusion/")}
    return {
        "method": method,
        **summaries[-1],
        "best_test_error_all_runs": min(summary["best_test_error"] for summary in summaries),
        **of_networks,
        "runs": summaries,
        "per_class_test_error": {
            name: [None if np.isnan(share) else float(share) for share in class_errors(matrix)]
            for name, matrix in matrices.items()
        },
        "confusion_matrix": {name: matrix.tolist() for name, matrix in matrices.items()},
        "wall_seconds": wall_seconds,
    }


def _summary(rows: Sequence[EpochRow]) -> dict[str, Any]:
    """A run's figures."""
    figures: dict[str, Any] = _errors(row.value("test_error") for row in rows)
    figures["last_test_balanced_error"] = rows[-1].value("test_balanced_error")
    if rows[0].metrics.get("validation_error") is not None:
        selected = min(rows, key=lambda row: row.value("validation_error"))  # the first of equal ones
        errors = {key: selected.value(key) for key in ("validation_error", "test_error")}
        figures["selected"] = {"epoch": selected.epoch, **errors}
    return figures


def _errors(test_errors: Iterable[float]) -> dict[str, float]:
    errors = list(test_errors)
    return {
        "best_test_error": min(errors),
        "last_test_error": errors[-1],
        "mean_last10_test_error": float(np.mean(errors[-LAST_EPOCHS:])),
    }
