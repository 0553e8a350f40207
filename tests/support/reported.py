"""What a reporter is told of a tiny run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datatools.format.dataset import Dataset
from tests.support.tiny import metadata, run_config, training_data
from trainer.config import RunConfig
from trainer.metrics import EpochRow, Figure
from trainer.reporters.base import RunPlan

RESULT = {"best_test_error": 0.0625, "last_test_error": 0.08, "mean_last10_test_error": 0.075}
RESULT_LINE = "runs/tiny: test error best 6.25%, last 8.00%, mean of the last 10 epochs 7.50%"


def run_plan(config: RunConfig | None = None, *, epochs_done: int = 0, **others: Any) -> RunPlan:
    """The plan of three runs of 100 steps an epoch on a CPU, of which so many epochs are done."""
    values: dict[str, Any] = {
        "config": config or run_config(),
        "dataset": Dataset(Path("data/tiny"), metadata()),
        "data": training_data(),
        "directory": Path("runs/tiny"),
        "device": "CPU, 2 cores",
        "on_cpu": True,
        "streams": False,
        "parameters": 123_456,
        "runs": 3,
        "steps_per_epoch": 100,
        "images_per_step": 10,
        "seconds": 90.0,
        "rows": (epoch_row(1),) * epochs_done,
    }
    return RunPlan(**{**values, **others})


def epoch_row(epoch: int, run: int = 2, **metrics: Figure) -> EpochRow:
    """An epoch's row; `metrics` come beside a training loss and a test error, or in their place."""
    figures = {"train_loss": 1.5, "test_error": 0.25, **metrics}
    return EpochRow(run, epoch, learning_rate=0.1, metrics=figures, seconds=2.0, images_per_second=1234.5)
