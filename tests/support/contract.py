"""A method's step outside of an engine: of logits that are known, whatever images its networks are shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer import ops
from trainer.methods.base import Batch, Method, Step


class FixedNetwork:
    """A `trainer.methods.base.Network` that gives the same logits whatever it sees; rows take turns."""

    def __init__(self, logits: Any) -> None:
        self.logits = logits

    def __call__(self, images: Any, samples: Any = None) -> Any:
        size, count = self.logits.shape[0], images.shape[0]
        return self.logits if count == size else ops.take(self.logits, np.arange(count) % size, axis=0)

    score = frozen = evaluate = averaged = __call__


def step_of(
    method: Method, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: Any, stage: str | None = None
) -> Step:
    """A method's `full_step`, by draws of a fixed seed, in which all networks learn; None for its last stage.

    What the method learns of samples is as it starts where `rows` does not have it.
    """
    size, num_classes = logits[0].shape
    learned = {name: declared.start for name, declared in method.learned(size, num_classes).items()}
    rows = {**learned, **rows}
    views = tuple(np.zeros((size, 2, 2, 1), np.float32) for _ in method.views)
    draws: dict[str, Any] = method.draw(np.random.default_rng(0), size)
    batch = Batch(labels, views, draws, (True,) * method.num_networks, method.stages[-1] if stage is None else stage)
    return method.full_step(batch, tuple(map(FixedNetwork, logits)), rows, schedule)


def rows_of(method: Method, memory: dict[str, np.ndarray], index: slice | np.ndarray) -> dict[str, np.ndarray]:
    """A mini-batch's rows of a memory; what all samples share is whole."""
    return {key: values.copy() if key in method.shared else values[index].copy() for key, values in memory.items()}
