"""What the tests of bench/ share: a silent reporter, and made-up runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.metrics import EpochRow
from trainer.reporters.base import RunPlan

BENCH = Path(__file__).parents[2] / "bench"
METHODS = ("default", "active-bias", "co-teaching", "selfie")
"""Those of SELFIE's comparison, which the scripts are about."""


class Silent:
    """A Reporter that counts the epochs it is told of."""

    epochs = 0

    def start(self, plan: RunPlan) -> None: ...

    def steps(self, done: int, total: int) -> None: ...

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self.epochs += 1

    def note(self, text: str) -> None: ...

    def finish(self, directory: Path, result: dict[str, Any]) -> None: ...


def write_run(directory: Path, errors: Sequence[float], finished: bool = True, device: str = "GPU, X1") -> None:
    """A run directory with the test error of each epoch; label precision is known in every one."""
    directory.mkdir(parents=True)
    lines = ["run,epoch,test_error,label_precision,label_recall,seconds,images_per_second"]
    lines += [f"1,{epoch},{error},0.75,0.5,{epoch}.0,1000.4" for epoch, error in enumerate(errors, 1)]
    (directory / "metrics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "device": device,
        "engine": "jax",
        "dataset": {"sha256": "ab" * 32},
        "versions": {"keras": "3.0", "jax": "0.9", "tensorflow": None},
    }
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if finished:
        keys = ("best_test_error", "best_test_error_all_runs", "last_test_error", "mean_last10_test_error")
        values = (min(errors), min(errors) - 0.01, errors[-1], sum(errors) / len(errors))
        (directory / "result.json").write_text(json.dumps(dict(zip(keys, values, strict=True))), encoding="utf-8")
