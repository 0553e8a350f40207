"""The passes of an epoch, which a method names: a function of (seed, run, epoch) and of what the method remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from datatools.seeding import stream
from trainer.config import RunConfig
from trainer.data import TrainingData, epoch_batches
from trainer.methods.base import Method, Pass


def passes_of(
    config: RunConfig, method: Method, run: int, epoch: int, batches: np.ndarray, memory: Mapping[str, np.ndarray]
) -> Sequence[Pass]:
    """The passes of an epoch.

    Args:
        batches: (steps, B) int32, the run's mini-batches of it. memory: the method's, as the epoch begins.
    """
    rng = np.random.Generator(stream(config.seed, "passes", run, epoch))
    return method.epoch_passes(epoch, batches, memory, rng)


def first_passes(
    config: RunConfig, method: Method, data: TrainingData, told: Mapping[str, np.ndarray] | None = None
) -> Sequence[Pass]:
    """The passes of a run's first epoch.

    Args:
        told: `Method.told`.
    """
    memory = {**method.memory(data.num_samples, data.num_classes), **(told or {})}
    return passes_of(config, method, 0, 0, epoch_batches(config, data, 0, 0), memory)
