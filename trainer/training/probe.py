"""Before a run starts: load the framework, compile the step where an engine compiles, time it where it is slow."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from trainer.config import RunConfig
from trainer.engine import Engine
from trainer.methods.base import Method, Pass
from trainer.reporters.base import Reporter
from trainer.training.checkpoint import Progress

PROBE_STEPS = 3
TEST_TO_TRAIN_COST = 1 / 3
"""A forward pass costs about a third of forward and backward; for estimates alone."""


FRAMEWORKS = {"tensorflow": "TensorFlow", "jax": "JAX"}


def note_loading(engine: str, reporter: Reporter) -> None:
    """Say that a framework is being loaded, which takes seconds, unless this process has it."""
    if engine not in sys.modules:
        reporter.note(f"loading {FRAMEWORKS[engine]}…")


def prepare(
    engine: Engine, method: Method, config: RunConfig, passes: Sequence[Pass], reporter: Reporter
) -> float | None:
    """Compile what an epoch of such passes needs, in each stage, where the engine compiles; the seconds that took."""
    if not engine.compiles:
        return None
    reporter.note("compiling the training step, once")
    started = time.monotonic()
    kinds = {(part.learns, stage): part.indices for stage in method.stages for part in passes}
    for (learns, stage), indices in kinds.items():
        engine.prepare(indices, method.schedule(0, indices.shape[1], config.noise_rate), learns, stage)
    return time.monotonic() - started


def probe(
    engine: Engine, method: Method, config: RunConfig, part: Pass, between: Callable[[], None] = lambda: None
) -> float:
    """Seconds a step of a pass takes here, from a few steps on networks and memory that are reset afterwards.

    Args:
        between: called where the probe can be ended, by an error that it raises.
    """
    indices = np.resize(part.indices, (PROBE_STEPS, part.indices.shape[1]))
    schedule = method.schedule(0, indices.shape[1], config.noise_rate)
    engine.begin_epoch(0, 0, config.learning_rate)
    engine.train(indices, schedule, 0, part.learns, part.stage)  # the first steps of a process are slower
    between()
    started = time.monotonic()
    engine.train(indices, schedule, 0, part.learns, part.stage)
    between()
    return (time.monotonic() - started) / PROBE_STEPS


def seconds_so_far(progress: Progress, steps: int) -> float | None:
    """Seconds a step took in the run that is resumed, by its checkpoint; None where it has trained none.

    Args:
        steps: of an epoch.
    """
    if progress.place.step:
        return progress.seconds / progress.place.step
    return progress.rows[-1].seconds / steps if progress.rows else None
