"""A run from start to end: restarts -> epochs -> mini-batches, with evaluation, log and checkpoints."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from datatools.format.dataset import Dataset
from trainer import metrics
from trainer.config import RunConfig
from trainer.data import EpochOrders, TrainingData, epoch_order, load
from trainer.engine import Engine, make_engine
from trainer.engine.step import ENGINE_ROWS, engine_memory, suffix
from trainer.errors import TrainerError
from trainer.methods.base import Method
from trainer.reporters.base import Reporter
from trainer.runs.directory import (
    CHECKPOINT_FILE,
    RESULT_FILE,
    SAMPLES_FILE,
    WEIGHTS_FILE,
    RunLog,
    check_free,
    clear_directory,
    read_finished,
    run_directory,
    versions,
    write_arrays,
    write_config,
    write_json,
    write_samples,
)
from trainer.training.checkpoint import Checkpoint, Place, differences, read_checkpoint, write_checkpoint
from trainer.training.code_identity import code_sha256
from trainer.training.stopping import DatasetWatch, RunStoppedError, Stop, check_finite, check_state, stop_on_signals

PROBE_STEPS = 3
CPU_SLICE_SECONDS = 1.0
TEST_TO_TRAIN_COST = 1 / 3
"""A forward pass costs about a third of forward and backward; for the estimate at the start alone."""


def train(
    config: RunConfig,
    dataset: Dataset,
    directory: Path,
    reporter: Reporter,
    *,
    overwrite: bool = False,
    resume: bool = False,
    force: bool = False,
    checkpoint_every: int = 1,
) -> dict[str, Any]:
    """Run a method on a dataset and fill its run directory.

    Args:
        resume: go on from the checkpoint in `directory`, to what an uninterrupted run would have given; where there is
            none, start. A finished run is left as it is.
        force: resume in spite of other code, packages or device.
        checkpoint_every: epochs from one checkpoint to the next; one is also written at the end and on a signal.

    Returns:
        The content of result.json.

    Raises:
        TrainerError: the directory is taken, the data do not belong together or change, settings differ from those of
            the run that is resumed, or the loss is not finite.
        RunStoppedError: SIGINT or SIGTERM came; the checkpoint is saved.
    """
    check_free(directory, overwrite or resume)
    started = time.monotonic()
    watch = DatasetWatch(dataset)
    data = load(dataset, config.validation_fraction, config.seed)
    with stop_on_signals() as stop, run_directory(directory):
        check_free(directory, overwrite or resume)
        identity = _identity(config, watch)
        if resume and (directory / RESULT_FILE).is_file():
            return _finished(directory, identity, reporter)
        before = _before(directory, reporter) if resume else None
        if before is not None:
            _check_run(before.identity, identity, directory)
        method = config.make_method()
        engine = make_engine(config, method, data)
        identity["device"] = engine.device
        if before is not None:
            _check_surroundings(before.identity, identity, directory, force, reporter)
            _check_reproducible(engine, reporter)
        else:
            clear_directory(directory)
        write_config(directory, config, dataset, identity)
        compile_seconds = prepare(engine, method, config, data, reporter)
        step_seconds = probe(engine, method, config, data) if engine.on_cpu else None
        training = _Training(config, data, method, engine, directory, reporter, stop, watch, identity)
        training.step_seconds, training.checkpoint_every = step_seconds, checkpoint_every
        if before is not None:
            training.take_up(before)
        facts = _facts(config, dataset, data, method, engine, step_seconds, training)
        reporter.start({**facts, "compile_seconds": compile_seconds})
        training.run()
        write_samples(directory / SAMPLES_FILE, data, engine.memory)
        write_arrays(directory / WEIGHTS_FILE, training.weights())
        seconds = time.monotonic() - started
        result = metrics.result(config.method, training.rows, method.num_networks, training.kept, seconds)
        write_json(directory / RESULT_FILE, result)
        reporter.finish(directory, result)
    return result


def _finished(directory: Path, identity: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """The result of a run that is there and finished."""
    result, found = read_finished(directory)
    _check_run({**identity, **found}, identity, directory)
    reporter.note(f"{directory}: finished already, nothing to resume")
    reporter.finish(directory, result)
    return result


def _before(directory: Path, reporter: Reporter) -> Checkpoint | None:
    """What a resume goes on from; None if there is nothing."""
    if (directory / CHECKPOINT_FILE).is_file():
        return read_checkpoint(directory / CHECKPOINT_FILE)
    reporter.note(f"{directory}: no checkpoint there, nothing to resume; starts from the beginning")
    return None


def _identity(config: RunConfig, watch: DatasetWatch) -> dict[str, Any]:
    """What a run is, as far as a resume must not differ from it; the engine adds the device."""
    found = versions()
    frameworks = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}[config.engine]
    return {
        "settings": config.to_json(),
        "dataset": watch.sha256,
        "manifest": watch.manifest_sha256,
        "code": code_sha256(),
        "packages": {name: found[name] for name in ("python", "numpy", "keras", *frameworks)},
        "device": None,
    }


def _check_run(before: dict[str, Any], identity: dict[str, Any], directory: Path) -> None:
    """Raise TrainerError unless settings and dataset are those of the run that is there."""
    firm, _ = differences(before, identity)
    if firm:
        raise TrainerError(
            f"{directory}: the run there is another one, in {'; '.join(firm)}; name the run's own to resume it, or "
            "choose another --run-dir"
        )


def _check_surroundings(
    before: dict[str, Any], identity: dict[str, Any], directory: Path, force: bool, reporter: Reporter
) -> None:
    """Raise TrainerError unless code, packages and device are the same, or `force` says that it is no matter."""
    _, soft = differences(before, identity)
    if soft and not force:
        raise TrainerError(
            f"{directory}: not resumed, since the result might differ from an uninterrupted run's: {'; '.join(soft)}; "
            "pass --force to resume all the same"
        )
    if soft:
        reporter.note(f"resumed with other {'; '.join(soft)}")


def _check_reproducible(engine: Engine, reporter: Reporter) -> None:
    """Say so where a resumed run need not end in the same bits as an uninterrupted one."""
    if not engine.reproducible:
        reporter.note(
            "resumed without --deterministic: on a GPU the result may differ from an uninterrupted run's in its last "
            "digits, and more with every epoch"
        )


class _Training:
    """The loops of one `train`, and all of their state that the engine does not hold."""

    step_seconds: float | None = None
    checkpoint_every = 1

    def __init__(
        self,
        config: RunConfig,
        data: TrainingData,
        method: Method,
        engine: Engine,
        directory: Path,
        reporter: Reporter,
        stop: Stop,
        watch: DatasetWatch,
        identity: dict[str, Any],
    ) -> None:
        self.config, self.data, self.method, self.engine = config, data, method, engine
        self.directory, self.reporter, self.stop, self.watch, self.identity = directory, reporter, stop, watch, identity
        self.steps = math.ceil(data.num_samples / config.batch_size)
        self.orders = EpochOrders(partial(_epoch_order, config, data))
        self.place = Place()
        self.noise_rate = config.noise_rate
        self.rows: list[dict[str, Any]] = []
        self.kept: dict[str, np.ndarray] = {}
        self.sums: list[dict[str, np.ndarray]] = []
        self.seconds = 0.0
        """Training time of the epoch under way."""
        self.epoch_seconds: list[float] = []
        """Of the epochs of this process, evaluation included; for the estimate of what is left."""
        self.log: RunLog

    def take_up(self, checkpoint: Checkpoint) -> None:
        """Stand where `checkpoint` was written."""
        self.engine.load_state(checkpoint.state)
        self.engine.memory = checkpoint.memory
        self.place, self.noise_rate = checkpoint.place, checkpoint.noise_rate
        self.rows, self.kept, self.seconds = checkpoint.rows, checkpoint.kept, checkpoint.seconds
        self.sums = [checkpoint.sums] if checkpoint.sums else []

    def run(self) -> None:
        """Train from where it stands to the end."""
        self.log = RunLog(self.directory, metrics.columns(self.method, self.data), self.rows)
        try:
            if self.place == Place():
                self._begin_run(0, self.method.memory(self.data.num_samples, self.data.num_classes))
            while True:
                while self.place.epoch < self.config.epochs:
                    self._epoch()
                if self.place.run + 1 == self.method.num_runs:
                    return
                memory, self.noise_rate = self.method.restart(self._method_memory(), self.noise_rate)
                self._begin_run(self.place.run + 1, memory)
        finally:
            self.log.close()
            self.orders.close()

    def _method_memory(self) -> dict[str, np.ndarray]:
        return {key: values for key, values in self.engine.memory.items() if key not in ENGINE_ROWS}

    def _begin_run(self, run: int, memory: dict[str, np.ndarray]) -> None:
        self.engine.reset(run)
        self.engine.memory = {**engine_memory(self.data.num_samples, self.data.num_classes), **memory}
        self.kept.clear()
        self.place = Place(run)

    def _epoch(self) -> None:
        """Train the epoch under way to its end, evaluate, log, and save a checkpoint where one is due."""
        started = time.monotonic()
        self._train_epoch()
        row = self._row()
        run, epoch, _ = self.place
        self.place, self.sums, self.seconds = Place(run, epoch + 1), [], 0.0
        self.rows.append(row)
        self.log.epoch(row)
        self.watch.check()
        if (epoch + 1) % self.checkpoint_every == 0 or epoch + 1 == self.config.epochs:
            self._save()
        self.epoch_seconds.append(time.monotonic() - started)
        left = self.method.num_runs * self.config.epochs - len(self.rows)
        self.reporter.epoch(row, left * float(np.mean(self.epoch_seconds)))

    def _train_epoch(self) -> None:
        run, epoch, done = self.place
        if not done:
            self.engine.begin_epoch(run, epoch, self.config.learning_rate_at(epoch))
        for indices in self._slices(done):
            started = time.monotonic()
            schedule = self.method.schedule(epoch, indices.shape[1], self.noise_rate)
            sums = self.engine.train(indices, schedule)
            self.seconds += time.monotonic() - started
            losses = {f"training {key}": values for key, values in sums.items() if key.startswith("loss")}
            check_finite(losses, f"{self.directory}: run {run + 1}, epoch {epoch + 1}", self.place.step)
            self.sums.append(sums)
            self.place = Place(run, epoch, self.place.step + len(indices))
            self.reporter.steps(self.place.step, self.steps)
            if self.stop.signal:
                self._interrupt(self.stop.signal)

    def _slices(self, done: int) -> list[np.ndarray]:
        """The epoch's mini-batches from step `done` on.

        On a CPU an epoch can take minutes: it goes in slices, so that progress shows and a signal is heard. On a GPU it
        goes whole.
        """
        size = max(1, int(CPU_SLICE_SECONDS / self.step_seconds)) if self.step_seconds else self.steps
        rest = self.orders.of(self.place.run, self.place.epoch)[done:]
        return [rest[start : start + size] for start in range(0, len(rest), size)]

    def _row(self) -> dict[str, Any]:
        """The finished epoch's row of metrics.csv."""
        run, epoch, _ = self.place
        sums = metrics.totals(self.sums)
        row = {
            "run": run + 1,
            "epoch": epoch + 1,
            "learning_rate": self.config.learning_rate_at(epoch),
            **metrics.training_metrics(sums, self.method),
        }
        for split in self.data.held_out:
            totals = self.engine.evaluate(split)
            losses = {f"{split} loss{suffix(number)}": np.array([own["loss"]]) for number, own in enumerate(totals)}
            check_finite(losses, f"{self.directory}: run {run + 1}, epoch {epoch + 1}", self.steps - 1)
            row |= metrics.evaluation_metrics(split, totals)
            if split == "test":
                confusion = totals[0]["confusion"]
        self._keep(row, confusion)
        images = float(np.sum(sums["samples"], dtype=np.float64))
        return {**row, "seconds": self.seconds, "images_per_second": images / self.seconds}

    def _keep(self, row: dict[str, Any], confusion: np.ndarray) -> None:
        """Keep what result.json and weights.h5 tell of the last, the best and the selected epoch of this run."""
        own = [before for before in self.rows if before["run"] == row["run"]]
        self.kept["confusion/last"] = confusion
        if all(row["test_error"] < before["test_error"] for before in own):
            self.kept["confusion/best"] = confusion
        if "validation_error" in row and all(row["validation_error"] < before["validation_error"] for before in own):
            self.kept["confusion/selected"] = confusion
            self.kept |= {f"weights/{name}": values for name, values in self.engine.weights().items()}

    def weights(self) -> dict[str, np.ndarray]:
        """weights.h5: the networks' as they ended, and with held-out samples those of the selected epoch."""
        found = {f"last/{name}": values for name, values in self.engine.weights().items()}
        chosen = {key.partition("/")[2]: values for key, values in self.kept.items() if key.startswith("weights/")}
        return found | {f"selected/{name}": values for name, values in chosen.items()}

    def _save(self) -> None:
        state, (run, epoch, step) = self.engine.state(), self.place
        epoch, step = (epoch + 1, step) if step else (epoch, self.steps)
        check_state(state, f"{self.directory}: run {run + 1}, epoch {epoch}, step {step}")
        write_checkpoint(
            self.directory / CHECKPOINT_FILE,
            Checkpoint(
                identity=self.identity,
                place=self.place,
                noise_rate=self.noise_rate,
                rows=self.rows,
                seconds=self.seconds,
                state=state,
                memory=self.engine.memory,
                sums=metrics.totals(self.sums),
                kept=self.kept,
            ),
        )

    def _interrupt(self, name: str) -> None:
        self.watch.check()
        self._save()
        raise RunStoppedError(
            f"{self.directory}: stopped by {name} in run {self.place.run + 1}, epoch {self.place.epoch + 1}, after "
            f"step {self.place.step} of {self.steps}; its checkpoint is saved, go on with --resume"
        )


def _epoch_order(config: RunConfig, data: TrainingData, run: int, epoch: int) -> np.ndarray:
    return epoch_order(data.num_samples, config.batch_size, config.seed, run, epoch, config.sampling)


def prepare(engine: Engine, method: Method, config: RunConfig, data: TrainingData, reporter: Reporter) -> float | None:
    """Compile what an epoch needs, where the engine compiles; the seconds that took."""
    if not engine.compiles:
        return None
    reporter.note("compiling the training step, once")
    indices = _epoch_order(config, data, 0, 0)
    started = time.monotonic()
    engine.prepare(indices, method.schedule(0, indices.shape[1], config.noise_rate))
    return time.monotonic() - started


def probe(engine: Engine, method: Method, config: RunConfig, data: TrainingData) -> float:
    """Seconds a step takes here, from a few steps on networks and memory that are reset afterwards."""
    indices = _epoch_order(config, data, 0, 0)
    indices = np.resize(indices, (PROBE_STEPS, indices.shape[1]))
    schedule = method.schedule(0, indices.shape[1], config.noise_rate)
    engine.begin_epoch(0, 0, config.learning_rate)
    engine.train(indices, schedule)  # the first steps of a process are slower
    started = time.monotonic()
    engine.train(indices, schedule)
    return (time.monotonic() - started) / PROBE_STEPS


def _facts(
    config: RunConfig,
    dataset: Dataset,
    data: TrainingData,
    method: Method,
    engine: Engine,
    step_seconds: float | None,
    training: _Training,
) -> dict[str, Any]:
    epochs = method.num_runs * config.epochs
    held_out = len(data.test_labels) + len(data.validation_ids)
    test_steps = held_out / config.batch_size * TEST_TO_TRAIN_COST
    return {
        "config": config,
        "dataset": dataset,
        "data": data,
        "directory": training.directory,
        "device": engine.device,
        "on_cpu": engine.on_cpu,
        "streams": engine.streams,
        "parameters": engine.parameters(),
        "runs": method.num_runs,
        "notices": (*method.notices, *engine.notices),
        "steps": epochs * training.steps,
        "steps_per_epoch": training.steps,
        "seconds": None if step_seconds is None else epochs * (training.steps + test_steps) * step_seconds,
        "epochs_done": len(training.rows),
        "rows": list(training.rows),
    }
