"""A run from start to end: restarts -> epochs -> mini-batches, with evaluation and log."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from datatools.dataset import Dataset
from trainer.config import RunConfig
from trainer.data import TrainingData, epoch_order, load
from trainer.engine import Engine, make_engine
from trainer.engine.step import engine_memory
from trainer.errors import TrainerError
from trainer.methods.base import Method
from trainer.run_log import (
    RESULT_FILE,
    SAMPLES_FILE,
    RunLog,
    check_free,
    clear_directory,
    write_config,
    write_json,
    write_samples,
)

LAST_EPOCHS = 10
"""Over how many epochs `mean_last10_test_error` is taken."""
PROBE_STEPS = 3
CPU_SLICE_SECONDS = 1.0
TEST_TO_TRAIN_COST = 1 / 3
"""A forward pass costs about a third of forward and backward; for the estimate at the start alone."""


class Reporter(Protocol):
    """What the screen is told."""

    def start(self, facts: dict[str, Any]) -> None: ...

    def steps(self, done: int, total: int) -> None: ...

    def epoch(self, row: dict[str, Any], seconds_left: float) -> None: ...


def train(
    config: RunConfig, dataset: Dataset, directory: Path, reporter: Reporter, overwrite: bool = False
) -> dict[str, Any]:
    """Run a method on a dataset and fill its run directory.

    Returns:
        The content of result.json.

    Raises:
        TrainerError: the directory is taken, the data do not belong together, or the loss is not finite.
    """
    check_free(directory, overwrite)
    started = time.monotonic()
    data = load(dataset)
    method = config.make_method()
    engine = make_engine(config, method, data)
    clear_directory(directory)
    write_config(directory, config, dataset, engine.device)
    step_seconds = _probe(engine, method, config, data)
    reporter.start(_facts(config, dataset, data, method, engine, step_seconds))
    log = RunLog(directory, _columns(method, data))
    try:
        runs = list(_Training(config, data, method, engine, step_seconds, log, reporter).runs())
    finally:
        log.close()
    write_samples(directory / SAMPLES_FILE, data.train_labels, engine.memory)
    result = _result(config, runs, time.monotonic() - started)
    write_json(directory / RESULT_FILE, result)
    return result


class _Training:
    """The loops of one `train`."""

    def __init__(
        self,
        config: RunConfig,
        data: TrainingData,
        method: Method,
        engine: Engine,
        step_seconds: float,
        log: RunLog,
        reporter: Reporter,
    ) -> None:
        self.config, self.data, self.method, self.engine = config, data, method, engine
        self.log, self.reporter = log, reporter
        # On a CPU an epoch can take minutes: it goes in slices so that progress shows. On a GPU it goes whole.
        self.slice_steps = max(1, int(CPU_SLICE_SECONDS / step_seconds)) if engine.on_cpu else 2**31
        self.steps = math.ceil(data.num_samples / config.batch_size)
        self.epochs_done = 0
        self.seconds = 0.0

    def runs(self) -> Iterator[list[dict[str, Any]]]:
        """Train run after run; yields the rows of metrics.csv of each."""
        noise_rate = self.config.noise_rate
        memory = self.method.memory(self.data.num_samples, self.data.num_classes)
        for run in range(self.method.num_runs):
            if run:
                memory, noise_rate = self.method.restart(self.engine.memory, noise_rate)
            self.engine.reset(run)
            self.engine.memory = {**engine_memory(self.data.num_samples), **memory}
            yield [self._epoch(run, epoch, noise_rate) for epoch in range(self.config.epochs)]

    def _epoch(self, run: int, epoch: int, noise_rate: float) -> dict[str, Any]:
        started = time.monotonic()
        learning_rate = self.config.learning_rate_at(epoch)
        self.engine.begin_epoch(run, epoch, learning_rate)
        sums: dict[str, float] = {}
        done = 0
        for indices in epoch_order(self.data.num_samples, self.config.batch_size, self.config.seed, run, epoch):
            knobs = self.method.knobs(epoch, indices.shape[1], noise_rate)
            for start in range(0, len(indices), self.slice_steps):
                part = indices[start : start + self.slice_steps]
                sums = _added(sums, self.engine.train(part, knobs))
                done += len(part)
                self.reporter.steps(done, self.steps)
        seconds = time.monotonic() - started
        test = self.engine.evaluate()
        self.epochs_done += 1
        self.seconds += time.monotonic() - started
        row = {
            "run": run + 1,
            "epoch": epoch + 1,
            "learning_rate": learning_rate,
            **_metrics(sums, test),
            "seconds": seconds,
            "images_per_second": self.data.num_samples / seconds,
        }
        self.log.epoch(row)
        if not math.isfinite(row["train_loss"]):
            raise TrainerError(
                f"{self.log.directory}: the training loss is {row['train_loss']} in run {run + 1}, epoch {epoch + 1}; "
                "lower --learning-rate"
            )
        left = self.method.num_runs * self.config.epochs - self.epochs_done
        self.reporter.epoch(row, left * self.seconds / self.epochs_done)
        return row


def _added(sums: dict[str, float], more: dict[str, float]) -> dict[str, float]:
    return {key: sums.get(key, 0.0) + value for key, value in more.items()}


def _share(sums: dict[str, float], part: str, whole: str) -> float | None:
    """sums[part] / sums[whole]; None where there is nothing to divide."""
    return sums[part] / sums[whole] if part in sums and sums.get(whole) else None


def _metrics(sums: dict[str, float], test: dict[str, float]) -> dict[str, Any]:
    """The epoch's rates from its sums."""
    counts: dict[str, Any] = {key: int(sums[key]) for key in ("refurbishable", "refurbished") if key in sums}
    return {
        "train_loss": _share(sums, "loss", "samples"),
        "train_error": _share(sums, "errors", "samples"),
        "test_loss": _share(test, "loss", "samples"),
        "test_error": _share(test, "errors", "samples"),
        "clean_train_error": _share(sums, "clean_errors", "samples"),
        "label_precision": _share(sums, "clean_set_right", "clean_set"),
        "label_recall": _share(sums, "clean_set_right", "truly_clean") if sums.get("clean_set") else None,
        **counts,
        "refurbishment_accuracy": _share(sums, "refurbished_right", "refurbished"),
    }


def _columns(method: Method, data: TrainingData) -> list[str]:
    """The columns of metrics.csv: those that this method and this dataset can fill."""
    columns = ["run", "epoch", "learning_rate", "train_loss", "train_error", "test_loss", "test_error"]
    selects = "clean_set" in method.logs
    refurbishes = "refurbished" in method.logs
    known = data.clean_labels is not None
    columns += ["clean_train_error"] * known
    columns += ["label_precision", "label_recall"] * (known and selects)
    columns += ["refurbishable", "refurbished"] * refurbishes
    columns += ["refurbishment_accuracy"] * (known and refurbishes)
    return [*columns, "seconds", "images_per_second"]


def _probe(engine: Engine, method: Method, config: RunConfig, data: TrainingData) -> float:
    """Seconds a step takes here, from a few steps on networks and memory that are reset afterwards."""
    indices = next(epoch_order(data.num_samples, config.batch_size, config.seed, 0, 0))
    indices = np.resize(indices, (PROBE_STEPS, indices.shape[1]))
    knobs = method.knobs(0, indices.shape[1], config.noise_rate)
    engine.begin_epoch(0, 0, config.learning_rate)
    engine.train(indices, knobs)  # the first call compiles
    started = time.monotonic()
    engine.train(indices, knobs)
    return (time.monotonic() - started) / PROBE_STEPS


def _facts(
    config: RunConfig,
    dataset: Dataset,
    data: TrainingData,
    method: Method,
    engine: Engine,
    step_seconds: float,
) -> dict[str, Any]:
    steps = math.ceil(data.num_samples / config.batch_size)
    epochs = method.num_runs * config.epochs
    test_steps = len(data.test_labels) / config.batch_size * TEST_TO_TRAIN_COST
    return {
        "config": config,
        "dataset": dataset,
        "data": data,
        "device": engine.device,
        "on_cpu": engine.on_cpu,
        "parameters": engine.parameters(),
        "runs": method.num_runs,
        "notices": method.notices,
        "steps": epochs * steps,
        "steps_per_epoch": steps,
        "seconds": epochs * (steps + test_steps) * step_seconds,
    }


def _result(config: RunConfig, runs: list[list[dict[str, Any]]], wall_seconds: float) -> dict[str, Any]:
    """result.json: the headline figures are the final run's; the best is also given over all runs."""
    each = [_summary([row["test_error"] for row in rows]) for rows in runs]
    return {
        "method": config.method,
        **each[-1],
        "best_test_error_all_runs": min(run["best_test_error"] for run in each),
        "runs": each,
        "wall_seconds": wall_seconds,
    }


def _summary(test_errors: list[float]) -> dict[str, float]:
    return {
        "best_test_error": min(test_errors),
        "last_test_error": test_errors[-1],
        "mean_last10_test_error": float(np.mean(test_errors[-LAST_EPOCHS:])),
    }
