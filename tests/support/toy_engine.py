"""The TensorFlow engine on a toy: started afresh, trained by epochs and by single steps, and looked into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.support.tiny import batches, run_config
from tests.support.tiny import tensorflow_engine as engine_with_dropout
from trainer.config import RunConfig
from trainer.data import TrainingData
from trainer.methods.base import Method
from trainer.metrics import totals

METHODS = ("default", "active-bias", "co-teaching", "selfie")
SELFIE = {"warm_up": 1, "history_length": 1}
BATCH = 8
"""60 samples in mini-batches of at most 8 are eight of 8, and four samples come twice."""
FIRST = np.arange(10, dtype=np.int32)
"""A mini-batch of the first ten samples."""
SLICES: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "whole": lambda indices: [indices],
    "step by step": lambda indices: list(indices[:, None]),
    "in two": lambda indices: [indices[:1], indices[1:]],
}


Engines = Callable[..., Any]


def config_of(method: str, batch_size: int = BATCH, **settings: Any) -> RunConfig:
    settings_of_method = SELFIE if method == "selfie" else {}
    return run_config(method, batch_size=batch_size, method_settings=settings_of_method, **settings)


def tensorflow_engine(
    config: RunConfig, data: TrainingData, method: Method | None = None, compile: bool | None = False
) -> Any:
    """The engine, with dropout in the DenseNets alone: what one step does is checked on the small network without."""
    engine = engine_with_dropout(config, data, method, compile)
    if config.network == "small-cnn":
        for layer in (layer for network in engine.networks for layer in network.layers):
            if type(layer).__name__ == "Dropout":
                layer.rate = 0.0
    return engine


def start(engine: Any, run: int = 0) -> Any:
    """The engine at the start of a run, with nothing remembered."""
    engine.reset(run)
    engine.memory = engine.start_memory()
    return engine


def train_epoch(engine: Any, run: int, epoch: int, slices: str = "whole") -> dict[str, float]:
    """An epoch's training; its sums."""
    config = engine.config
    engine.begin_epoch(run, epoch, config.learning_rate_at(epoch))
    indices = batches(engine.data, config, run, epoch)
    schedule = engine.method.schedule(epoch, indices.shape[1], config.noise_rate)
    parts = [engine.train(part, schedule) for part in SLICES[slices](indices)]
    return {key: float(np.sum(values, dtype=np.float64)) for key, values in totals(parts).items()}


def train_step(engine: Any, indices: np.ndarray, epoch: int = 0, learning_rate: float = 0.05) -> dict[str, float]:
    """One mini-batch; its sums."""
    engine.begin_epoch(0, epoch, learning_rate)
    sums = engine.train(indices[None], engine.method.schedule(epoch, len(indices), engine.config.noise_rate))
    return {key: float(value) for key, (value,) in sums.items()}


def held_out(engine: Any, network: int = 0) -> dict[str, float]:
    """What the engine finds on the test split."""
    network_totals = engine.evaluate()[network]
    confusion = network_totals["confusion"]
    return {"samples": confusion.sum(), "loss": network_totals["loss"], "errors": confusion.sum() - np.trace(confusion)}


def weights(engine: Any, network: int = 0) -> list[np.ndarray]:
    return [variable.numpy() for variable in engine.networks[network].trainable_variables]


def variables(engine: Any) -> list[Any]:
    """All that training changes on the device, beside the memory: weights, statistics, seeds, velocities."""
    return [v for part in (*engine.networks, *engine.optimizers) for v in part.variables]


def state(engine: Any) -> list[np.ndarray]:
    """All that training changes."""
    return [*(variable.numpy() for variable in variables(engine)), *engine.memory.values()]


def assert_same(actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Bit for bit; not-a-number equals itself."""
    for number, (one, other) in enumerate(zip(actual, expected, strict=True)):
        np.testing.assert_array_equal(one, other, err_msg=f"value {number}")


def images(engine: Any, indices: np.ndarray) -> Any:
    from trainer.engine.step import standardise

    return standardise(engine.data.train_images[indices])


def losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(B,) cross-entropy in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.log(np.exp(wide).sum(axis=1)) - wide[np.arange(len(labels)), labels]
