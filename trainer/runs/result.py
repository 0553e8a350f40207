"""result.json, read back and checked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from trainer.runs.directory import RESULT_FILE
from trainer.runs.reading import get, read_object, readable

HEADLINES = ("best_test_error", "last_test_error", "mean_last10_test_error")
"""The figures that every run has: fractions of the test split, of the final run."""
MAX_COUNT = 1 << 53
"""Beyond it a float does not tell every count."""


class Result(dict[str, Any]):
    """The content of result.json (docs/format.md), whose headline figures are there and fractions.

    Raises:
        ValueError: they are not.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        for key in HEADLINES:
            if not 0 <= get(values, key, (int, float)) <= 1:
                raise ValueError(f"'{key}' is no fraction")

    @property
    def best_test_error(self) -> float:
        """The smallest test error of the final run."""
        return float(self["best_test_error"])

    @property
    def last_test_error(self) -> float:
        """The test error after its last epoch."""
        return float(self["last_test_error"])

    @property
    def best_test_error_all_runs(self) -> float | None:
        """The smallest test error of all restarts, or None where the file has no such fraction."""
        value = self._number("best_test_error_all_runs")
        return value if value is not None and abs(value) <= 1 else None

    @property
    def selected_test_error(self) -> float | None:
        """The test error of the epoch that held-out samples selected, or None where the file has no such fraction."""
        selected = self.get("selected")
        try:
            value = float(get(selected if isinstance(selected, dict) else {}, "test_error", (int, float)))
        except (ValueError, OverflowError):
            return None
        return value if 0 <= value <= 1 else None

    @property
    def wall_seconds(self) -> float | None:
        """Seconds of the process that finished the run, or None where the file does not say."""
        return self._number("wall_seconds")

    def confusion(self, epoch: str, most_classes: int) -> np.ndarray | None:
        """(K, K) int64 test images by class (row) and prediction (column).

        Args:
            epoch: "last", "best" or "selected". most_classes: of a matrix that is worth while.

        Returns:
            None where the file has no such matrix, or none of that form.
        """
        matrices = self.get("confusion_matrix")
        try:
            matrix = np.array(matrices.get(epoch) if isinstance(matrices, dict) else None, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            return None
        side = len(matrix) if matrix.ndim == 2 else 0
        if matrix.shape != (side, side) or not 0 < side <= most_classes:
            return None
        return matrix.astype(np.int64) if ((matrix >= 0) & (matrix < MAX_COUNT)).all() else None

    def _number(self, key: str) -> float | None:
        try:
            value = float(get(self, key, (int, float)))
        except (ValueError, OverflowError):
            return None
        return value if math.isfinite(value) else None


def read_result(directory: Path) -> Result:
    """The result.json of a run directory.

    Raises:
        TrainerError: it is not there, or not what a run writes.
    """
    path = directory / RESULT_FILE
    with readable(path):
        return Result(read_object(path))
