"""The contract of a method: a pure function over a mini-batch.

A method reads like the paper's algorithm. It holds settings and no state, is written in `keras.ops`, and knows
neither the network nor the optimizer nor the clean labels: the engine gathers labels, logits and the batch's rows
of the per-sample memory, calls `step`, takes the gradient of its losses, and writes the rows back.

Notation of the docstrings: N training samples, K classes, B the mini-batch, q the history length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from trainer import ops
from trainer.errors import TrainerError
from trainer.methods.columns import SampleColumn
from trainer.methods.metric import Metric
from trainer.settings import VARIANTS, Derived, option_name, option_names, resolve_settings, settings_of

Tensor = ops.Tensor
"""An array of the running engine (tf.Tensor, jax.Array) or of NumPy."""


class Update(NamedTuple):
    """What a second forward pass is for: the mean cross-entropy of some samples of the mini-batch.

    Attributes:
        targets: (B,) int32, the label that each sample trains on. samples: (B,) bool, the samples in the update, at
            least one; batch norm sees no other.
    """

    targets: Tensor
    samples: Tensor


class Step(NamedTuple):
    """What a method makes of a mini-batch.

    Attributes:
        losses: one scalar per network, to be differentiated.
        rows: the batch's rows of the memory, to be written back.
        clean_sets: for each network (B,) bool, the samples taken as clean by its losses, all False while the choice
            is not in use; empty for a method that takes no such choice.
        tallies: by name (B,) bool or float32, what the method's metrics count: the engine adds each up over the epoch,
            under its name.
        labels: by name (B,) int32, labels that the method puts in the place of the given ones, -1 where there is
            none. The engine counts those there are under the name, and the right ones under the name with "_right".
        updates: for a method with `second_pass`, what each network trains on in place of its loss; empty for others.
    """

    losses: tuple[Tensor, ...]
    rows: dict[str, Tensor]
    clean_sets: tuple[Tensor, ...] = ()
    tallies: dict[str, Tensor] = {}  # noqa: RUF012 (never written to, and frameworks know no read-only one)
    labels: dict[str, Tensor] = {}  # noqa: RUF012
    updates: tuple[Update, ...] = ()


@dataclass(frozen=True)
class Method(ABC):
    """Base of all methods; a subclass is a frozen dataclass whose fields are its settings (`trainer.settings`)."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    """Where the method comes from: authors, title, venue."""
    num_networks: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = ()
    """What its steps tell beside loss and error, in the order of the columns."""
    columns: ClassVar[tuple[SampleColumn, ...]] = ()
    """What it tells of each sample in the end, in samples.h5."""

    @classmethod
    def from_settings(cls, epochs: int, values: Mapping[str, Any], variant: str = "paper") -> Self:
        """The method with the settings in `values`; the others follow their defaults and the number of epochs.

        Args:
            variant: one of VARIANTS; whose defaults are taken.

        Raises:
            TrainerError: a setting that the method does not have, is out of its range, or contradicts another.
        """
        if variant not in VARIANTS:
            raise TrainerError(f"--variant {variant}: one of {', '.join(VARIANTS)} is expected")
        settings = settings_of(cls)
        for name in values:
            if name not in settings:
                raise TrainerError(
                    f"{option_name(name)} {values[name]}: not an option of {cls.name}; it has {option_names(settings)}"
                )
        method = cls(**resolve_settings(settings, values, {"variant": variant, "epochs": epochs}))
        method.check(epochs)
        return method

    def check(self, epochs: int) -> None:  # noqa: B027 (most methods have nothing to check)
        """Raise TrainerError where settings contradict each other or the number of epochs."""

    @property
    def num_runs(self) -> int:
        """How many times training starts afresh."""
        return 1

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know about these settings before they are run, a line each."""
        return ()

    @property
    def second_pass(self) -> bool:
        """Whether a step chooses by one forward pass and trains on `Step.updates` by another.

        The first one leaves moving statistics as they are. Each pass has dropout masks of its own.
        """
        return False

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        """What is remembered per sample at the start: arrays with leading axis N."""
        return {}

    def sample_values(self, memory: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The values of `columns` from the memory that a run ended with, a row a sample; those of the same name."""
        return {column.name: memory[column.name] for column in self.columns}

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        """What changes with the epoch (from 0), the mini-batch's size and the noise rate; same keys always."""
        return {}

    @abstractmethod
    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        """One mini-batch.

        Args:
            labels: (B,) int32 given labels. logits: one (B, K) float32 per network.
            rows: the batch's rows of the memory. schedule: float32 scalars, what `Method.schedule` gives.
        """

    def restart(self, memory: dict[str, np.ndarray], noise_rate: float) -> tuple[dict[str, np.ndarray], float]:
        """Memory and noise rate with which the next run starts, from those the last one ended with."""
        return memory, noise_rate


def cross_entropy(labels: Tensor, log_probabilities: Tensor) -> Tensor:
    """(B,) cross-entropy -log p(label). labels: (B,) int; log_probabilities: (B, K)."""
    chosen = ops.one_hot(labels, log_probabilities.shape[-1], dtype=log_probabilities.dtype)
    return -ops.sum(chosen * log_probabilities, axis=-1)


def reverse_cross_entropy(cross_entropies: Tensor, log_of_zero: float) -> Tensor:
    """(B,) reverse cross-entropy -Σ_k p_k log ỹ_k = -A (1 - p(label)), with A < 0 in the place of log 0.

    Args:
        cross_entropies: (B,) -log p(label). log_of_zero: A.
    """
    return log_of_zero * ops.expm1(-cross_entropies)


def mean_over(samples: Tensor, losses: Tensor) -> Tensor:
    """Mean of the `losses` (B,) of some `samples` (B,) bool; 0 where there is none."""
    weights = ops.cast(samples, losses.dtype)
    return ops.sum(weights * losses) / ops.maximum(ops.sum(weights), 1.0)


def smallest(values: Tensor, count: Tensor) -> Tensor:
    """(B,) bool: the `count` smallest of `values` (B,); of equal ones the first in the batch."""
    rank = ops.argsort(ops.argsort(values))
    return ops.cast(rank, "float32") < ops.cast(count, "float32")


def keep_count(keep_rate: float, batch_size: int) -> int:
    """ceil(keep_rate * batch_size), without the float noise that would turn ceil(0.6 * 5) into 4."""
    return int(np.ceil(round(keep_rate * batch_size, 9)))


WARM_UP = Derived("a quarter of the epochs", lambda values: max(1, round(values["epochs"] / 4)))
"""SELFIE's 25 of 100; at least 1."""


def check_warm_up(warm_up: int, epochs: int) -> None:
    """Raise TrainerError unless the warm-up fits into the epochs."""
    if warm_up > epochs:
        raise TrainerError(f"--warm-up {warm_up}: longer than the {epochs} epochs; lower it, or raise --epochs")
