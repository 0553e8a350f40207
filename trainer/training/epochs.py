"""The loops of a run: restarts -> epochs -> mini-batches, with evaluation, log and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datatools.format.dataset import Dataset
from trainer import metrics
from trainer.config import RunConfig
from trainer.data import EpochOrders, TrainingData
from trainer.engine import Engine
from trainer.engine.step import ENGINE_ROWS, evaluation_suffixes
from trainer.methods.base import Method, Pass
from trainer.metrics import EpochRow
from trainer.reporters.base import Reporter
from trainer.runs.directory import CHECKPOINT_FILE, SCALING, RunLog
from trainer.runs.replacing import discard_replaced
from trainer.training.checkpoint import Checkpoint, Place, Progress, write_checkpoint
from trainer.training.passes import first_passes, passes_of
from trainer.training.signals import Stop
from trainer.training.stopping import DatasetWatch, RunStoppedError, check_finite, check_state

CPU_SLICE_SECONDS = 1.0


@dataclass(frozen=True)
class RunSetup:
    """What a run is, from its start to its end.

    Attributes:
        identity: what a resume must not differ in (`resume.identity_of`), with the engine's device.
        told: memory that the user tells the method (`Method.told`).
    """

    config: RunConfig
    dataset: Dataset
    data: TrainingData
    method: Method
    engine: Engine
    directory: Path
    identity: dict[str, Any]
    told: dict[str, np.ndarray]

    @cached_property
    def first_passes(self) -> Sequence[Pass]:
        """The passes of the first epoch."""
        return first_passes(self.config, self.method, self.data, self.told)

    @property
    def steps_per_epoch(self) -> int:
        """Mini-batches of all passes; of the first epoch, where a method's epochs differ."""
        return sum(len(part.indices) for part in self.first_passes)


@dataclass
class Training:
    """A run under way.

    Attributes:
        progress: where it stands; the rest of its state is in the engine.
        step_seconds: of a step on a CPU, which slices of an epoch are made by; None for whole epochs.
        checkpoint_every: epochs from one checkpoint to the next.
        epoch_steps: of the epoch under way, of all its passes.
        epoch_seconds: of the epochs of this process, evaluation included; for the estimate of what is left.
    """

    setup: RunSetup
    progress: Progress
    log: RunLog
    orders: EpochOrders
    reporter: Reporter
    stop: Stop
    watch: DatasetWatch
    step_seconds: float | None
    checkpoint_every: int
    epoch_steps: int = 0
    epoch_seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Train from where it stands to the end."""
        config, data, method = self.setup.config, self.setup.data, self.setup.method
        # A fresh run; one that is resumed has its networks and memory from the checkpoint
        if self.progress.place == Place():
            memory = {**method.memory(data.num_samples, data.num_classes), **self.setup.told}
            self._begin_run(0, memory, self.progress.noise_rate)
        while True:
            while self.progress.place.epoch < config.epochs:
                self._epoch()
            # Restart, with what the method makes of its memory
            run = self.progress.place.run
            if run + 1 == method.num_runs:
                return
            self._begin_run(run + 1, *method.restart(self._method_memory(), self.progress.noise_rate))

    def _method_memory(self) -> dict[str, np.ndarray]:
        """What the method remembers of each sample."""
        setup = self.setup
        others = {*ENGINE_ROWS, *setup.method.learned(setup.data.num_samples, setup.data.num_classes)}
        return {name: rows for name, rows in setup.engine.memory.items() if name not in others}

    def _begin_run(self, run: int, memory: dict[str, np.ndarray], noise_rate: float) -> None:
        engine = self.setup.engine
        engine.reset(run)
        engine.memory = {**engine.start_memory(), **memory}
        self.progress = Progress(Place(run), noise_rate, self.progress.rows)

    def _epoch(self) -> None:
        """Train the epoch under way to its end, evaluate, log, and save a checkpoint where one is due."""
        started = time.monotonic()
        self._train_epoch()
        self._end_epoch()
        row, kept = self._evaluate()
        # The epoch is over: the row is written, and after it the checkpoint that holds the row
        (run, epoch, _), noise_rate, rows = self.progress.place, self.progress.noise_rate, (*self.progress.rows, row)
        self.progress = Progress(Place(run, epoch + 1), noise_rate, rows, kept=kept)
        self.log.epoch(row.to_json())
        self.watch.check()
        if (epoch + 1) % self.checkpoint_every == 0 or epoch + 1 == self.setup.config.epochs:
            self._save()
        # Reported last: what a reporter has seen is on disk
        self.epoch_seconds.append(time.monotonic() - started)
        left = self.setup.method.num_runs * self.setup.config.epochs - len(rows)
        self.reporter.epoch(row, left * float(np.mean(self.epoch_seconds)))

    def _train_epoch(self) -> None:
        """Train the steps of the epoch under way that are not done."""
        setup, (run, epoch, done) = self.setup, self.progress.place
        if done:
            setup.engine.go_on(run, epoch)
        else:
            setup.engine.begin_epoch(run, epoch, setup.config.learning_rate_at(epoch))
        passes = self._passes()
        self.epoch_steps = sum(len(part.indices) for part in passes)
        for indices, learns, stage in self._slices(passes, done):
            started = time.monotonic()
            schedule = setup.method.schedule(epoch, indices.shape[1], self.progress.noise_rate)
            step = self.progress.place.step
            sums = setup.engine.train(indices, schedule, step, learns, stage)
            seconds = self.progress.seconds + (time.monotonic() - started)
            self._check_losses({f"training {key}": sums[key] for key in sums if key.startswith("loss")}, step)
            # The slice is over: a signal that came meanwhile is heard here
            sums = metrics.totals([part for part in (self.progress.sums, sums) if part])
            self.progress = replace(
                self.progress, place=Place(run, epoch, step + len(indices)), seconds=seconds, sums=sums
            )
            self.reporter.steps(step + len(indices), self.epoch_steps)
            if self.stop.signal:
                self._interrupt(self.stop.signal)

    def _passes(self) -> Sequence[Pass]:
        """The passes of the epoch under way."""
        run, epoch, _ = self.progress.place
        batches = self.orders.of(run, epoch)
        # the memory comes from the device, and not for nothing
        own = type(self.setup.method).epoch_passes is not Method.epoch_passes
        memory = self._method_memory() if own else {}
        return passes_of(self.setup.config, self.setup.method, run, epoch, batches, memory)

    def _slices(self, passes: Sequence[Pass], done: int) -> Iterator[Pass]:
        """The epoch's mini-batches from step `done` on, in parts of its passes.

        On a CPU an epoch can take minutes: it goes in slices, so that progress shows and a signal is heard. On a GPU a
        pass goes whole.
        """
        for part in passes:
            rest, done = part.indices[done:], max(0, done - len(part.indices))
            size = max(1, int(CPU_SLICE_SECONDS / self.step_seconds)) if self.step_seconds else max(1, len(rest))
            for start in range(0, len(rest), size):
                yield part._replace(indices=rest[start : start + size])

    def _check_losses(self, losses: dict[str, np.ndarray], first_step: int) -> None:
        run, epoch, _ = self.progress.place
        check_finite(losses, f"{self.setup.directory}: run {run + 1}, epoch {epoch + 1}", first_step)

    def _end_epoch(self) -> None:
        """What the method does between epochs, on the host."""
        setup, epoch = self.setup, self.progress.place.epoch
        if type(setup.method).epoch_end is Method.epoch_end:
            return
        memory, labels = self._method_memory(), setup.data.train_labels
        changed = setup.method.epoch_end(epoch, memory, labels, setup.engine.predict)
        setup.engine.memory = {**setup.engine.memory, **changed}

    def _evaluate(self) -> tuple[EpochRow, dict[str, np.ndarray]]:
        """The row of the epoch that is trained, and what is kept of its run so far."""
        setup, progress = self.setup, self.progress
        run, epoch, _ = progress.place
        figures = metrics.training_metrics(progress.sums, setup.method)
        confusion = {}
        for split in setup.data.held_out:
            totals = setup.engine.evaluate(split)
            marked = zip(evaluation_suffixes(setup.method), totals, strict=False)
            losses = {f"{split} loss{mark}": np.array([part["loss"]]) for mark, part in marked}
            self._check_losses(losses, self.epoch_steps - 1)
            figures |= metrics.evaluation_metrics(split, totals, setup.method)
            confusion[split] = totals[0]["confusion"]
        counts = [sums for key, sums in progress.sums.items() if key.startswith("samples")]
        images = float(np.sum(counts, dtype=np.float64))
        learning_rate = setup.config.learning_rate_at(epoch)
        row = EpochRow(run + 1, epoch + 1, learning_rate, figures, progress.seconds, images / progress.seconds)
        return row, self._kept(row, confusion["test"])

    def _kept(self, row: EpochRow, confusion: np.ndarray) -> dict[str, np.ndarray]:
        """What result.json and weights.h5 tell of the last, the best and the selected epoch of this run."""
        earlier = [before for before in self.progress.rows if before.run == row.run]

        def lowest(key: str) -> bool:
            return all(row.value(key) < before.value(key) for before in earlier)

        kept = {**self.progress.kept, "confusion/last": confusion}
        if lowest("test_error"):
            kept["confusion/best"] = confusion
        if "validation" in self.setup.data.held_out and lowest("validation_error"):
            kept["confusion/selected"] = confusion
            kept |= {f"weights/{name}": values for name, values in self.setup.engine.weights().items()}
        return kept

    def weights(self) -> dict[str, np.ndarray]:
        """weights.h5: the networks' last, with held-out samples those of the selected epoch, and features' scaling."""
        last = {f"last/{name}": values for name, values in self.setup.engine.weights().items()}
        selected = {
            f"selected/{key.removeprefix('weights/')}": values
            for key, values in self.progress.kept.items()
            if key.startswith("weights/")
        }
        scaling = self.setup.data.scaling
        scales = {} if scaling is None else {f"{SCALING}/mean": scaling.mean, f"{SCALING}/stddev": scaling.stddev}
        return last | selected | scales

    def _save(self) -> None:
        setup, (run, epoch, step) = self.setup, self.progress.place
        state = setup.engine.state()
        # In words: after a step of the epoch under way, or after the last step of the one before
        epoch, step = (epoch + 1, step) if step else (epoch, self.epoch_steps)
        check_state(state, f"{setup.directory}: run {run + 1}, epoch {epoch}, step {step}")
        checkpoint = Checkpoint(setup.identity, self.progress, state, setup.engine.memory)
        self.log.sync()
        write_checkpoint(setup.directory / CHECKPOINT_FILE, checkpoint)
        discard_replaced(setup.directory)

    def _interrupt(self, name: str) -> None:
        """Save a checkpoint and end the run, which the signal `name` asks for."""
        self.watch.check()
        self._save()
        run, epoch, step = self.progress.place
        raise RunStoppedError(
            f"{self.setup.directory}: stopped by {name} in run {run + 1}, epoch {epoch + 1}, after step {step} of "
            f"{self.epoch_steps}; its checkpoint is saved, go on with --resume"
        )
