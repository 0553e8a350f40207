"""Before a run starts: compile the training step where an engine compiles, and time a step where it is slow."""

from __future__ import annotations

import time

import numpy as np

from trainer.config import RunConfig
from trainer.data import TrainingData, epoch_batches
from trainer.engine import Engine
from trainer.methods.base import Method
from trainer.reporters.base import Reporter

PROBE_STEPS = 3
TEST_TO_TRAIN_COST = 1 / 3
"""A forward pass costs about a third of forward and backward; for estimates alone."""


def prepare(engine: Engine, method: Method, config: RunConfig, data: TrainingData, reporter: Reporter) -> float | None:
    """Compile what an epoch needs, where the engine compiles; the seconds that took."""
    if not engine.compiles:
        return None
    reporter.note("compiling the training step, once")
    indices = epoch_batches(config, data, 0, 0)
    started = time.monotonic()
    engine.prepare(indices, method.schedule(0, indices.shape[1], config.noise_rate))
    return time.monotonic() - started


def probe(engine: Engine, method: Method, config: RunConfig, data: TrainingData) -> float:
    """Seconds a step takes here, from a few steps on networks and memory that are reset afterwards."""
    indices = epoch_batches(config, data, 0, 0)
    indices = np.resize(indices, (PROBE_STEPS, indices.shape[1]))
    schedule = method.schedule(0, indices.shape[1], config.noise_rate)
    engine.begin_epoch(0, 0, config.learning_rate)
    engine.train(indices, schedule)  # the first steps of a process are slower
    started = time.monotonic()
    engine.train(indices, schedule)
    return (time.monotonic() - started) / PROBE_STEPS
