"""The engines: what trains a method's networks on a device.

An engine owns the device: networks, optimizers, images, labels and the per-sample memory live there from start to
end; the host sends sample indices and gets sums back.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import numpy as np

from trainer.config import ENGINES, RunConfig
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.data import TrainingData
    from trainer.methods.base import Method


class EvaluationTotals(TypedDict):
    """What a network makes of a split of the dataset: the summed loss, and (K, K) int64 counts, a row a true class."""

    loss: float
    confusion: np.ndarray


class Engine(Protocol):
    """What `loop` asks of an engine."""

    device: str
    on_cpu: bool
    reproducible: bool
    """Whether two processes end in the same bits here."""
    compiles: bool
    """Whether `prepare` compiles, which takes long enough to be told of."""
    notices: tuple[str, ...]
    """What the user should know of how it runs, a line each."""
    streams: bool
    """Whether images come from the host step by step, for want of room on the device."""
    memory: dict[str, np.ndarray]
    """Per-sample memory by name, (N, …); reading copies it from the device, assigning to it copies it there."""

    def __init__(self, config: RunConfig, method: Method, data: TrainingData) -> None: ...

    def start_memory(self) -> dict[str, np.ndarray]:
        """The memory with which a first run starts: the method's, the engine's own, and what is learned."""

    def reset(self, run: int) -> None:
        """Fresh weights, a function of (seed, run), and a fresh optimizer."""

    def state(self) -> dict[str, np.ndarray]:
        """All that training changes beside the memory, by name; copied from the device."""

    def load_state(self, values: dict[str, np.ndarray]) -> None:
        """Take up what `state` gave, also one of another process."""

    def weights(self) -> dict[str, np.ndarray]:
        """What the networks need to classify, by name."""

    def begin_epoch(self, run: int, epoch: int, learning_rate: float) -> None:
        """Set the learning rate, and seed what is random inside a step by (seed, run, epoch)."""

    def go_on(self, run: int, epoch: int) -> None:
        """Take up an epoch in the middle, after `load_state`: what steps are given depends on its number."""

    def prepare(
        self,
        indices: np.ndarray,
        schedule: dict[str, float],
        learns: tuple[bool, ...] | None = None,
        stage: str = "",
    ) -> None:
        """Compile what `train` of such arguments needs, with (steps, B) indices, and train nothing."""

    def train(
        self,
        indices: np.ndarray,
        schedule: dict[str, float],
        first_step: int = 0,
        learns: tuple[bool, ...] | None = None,
        stage: str = "",
    ) -> dict[str, np.ndarray]:
        """Train on (steps, B) int32 sample indices, one mini-batch a row; (steps,) float32 sums of each.

        The host waits for the device only at the end. However an epoch is cut into calls, the results are the same.

        Args:
            first_step: the number of the first one in its epoch. learns: for each network; None for all.
            stage: one of `Method.stages`.
        """

    def predict(self, number: int) -> np.ndarray:
        """(N, K) float32 probabilities of the training images, by a network in evaluation mode; numbers from 0."""

    def evaluate(self, split: str = "test") -> list[EvaluationTotals]:
        """Each network's totals over the test or validation split; before them, those of a method's networks together
        where they are `tested_together`."""

    def parameters(self) -> int:
        """Number of trainable numbers of one network."""


def make_engine(config: RunConfig, method: Method, data: TrainingData) -> Engine:
    """The engine that `config` names, with data and fresh networks on its device.

    Raises:
        TrainerError: not installed, or another one is loaded already.
    """
    load_backend(config.engine)
    module, name = ENGINES[config.engine].split(":")
    engine: type[Engine] = getattr(importlib.import_module(module), name)
    return engine(config, method, data)


def load_backend(engine: str) -> Any:
    """Import Keras on the framework `engine`, without the framework's chatter on the screen.

    Raises:
        TrainerError: not installed, or Keras runs on another framework in this process already.
    """
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = engine
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Read when JAX starts a GPU: without it, three quarters of the GPU's memory are taken at once
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        with quiet_stderr():
            keras = importlib.import_module("keras")
            importlib.import_module(engine)
    except ImportError as error:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before
        package = "selfie-noisy-labels[jax]" if engine == "jax" else engine
        raise TrainerError(
            f"engine {engine}: cannot be loaded ({error}); install it with pip install '{package}'"
        ) from None
    if keras.backend.backend() != engine:
        raise TrainerError(f"engine {engine}: Keras runs on {keras.backend.backend()} in this process; start a new one")
    return keras


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what is written to file descriptor 2; shown after all if the block fails.

    TensorFlow logs from C++ before its log level can be set; a Python-level redirect does not catch that.
    """
    sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(stderr, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
