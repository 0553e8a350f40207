"""The contract of a method: a pure function over a mini-batch.

A method reads like the paper's algorithm. It holds settings and no state, is written in `keras.ops`, and knows neither
the optimizer nor the clean labels. Most methods need the logits of one forward pass: they have `step`. Those that mix
images, look at several views of them, or call their networks several times have `full_step`. The engine gathers what a
step is given, takes the gradient of its losses, and writes back what it remembers.

Notation of the docstrings: N training samples, K classes, B the mini-batch, q the history length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np

from datatools.format.dataset import Dataset
from trainer import ops
from trainer.errors import TrainerError
from trainer.methods.columns import SampleColumn
from trainer.methods.metric import Metric
from trainer.settings import VARIANTS, Derived, option_name, option_names, resolve_settings, settings_of

Tensor = ops.Tensor
"""An array of the running engine (tf.Tensor, jax.Array) or of NumPy."""
MatrixSource = Literal["none", "true", "file", "anchors"]
"""Where the transition matrix of a method is from: it has none, the manifest's, a file's, or its own estimate."""
TRAIN_VIEW = "train"
"""The view of an image that the run's augmentation makes."""
SAMPLINGS = ("permutation", "independent", "balanced")
"""How the run's mini-batches may be drawn (`trainer.data.epoch_batches`)."""
AVERAGE_DECAY = "average_decay"
"""The name in the schedule under which the decay of `Method.average_decay` changes with the epoch."""


class Network(Protocol):
    """What a step may do with a network; images are (B, H, W, C) float32 as a view has them, logits (B, K) float32."""

    def __call__(self, images: Tensor, samples: Tensor | None = None) -> Tensor:
        """Logits in training mode, through which a loss has a gradient.

        Args:
            samples: (B,) bool, at least one True: batch norm sees no others; None for all.
        """

    def score(self, images: Tensor) -> Tensor:
        """Logits in training mode without a gradient; moving statistics stay as they are."""

    def frozen(self, images: Tensor) -> Tensor:
        """Logits in training mode without a gradient; moving statistics move."""

    def evaluate(self, images: Tensor) -> Tensor:
        """Logits in evaluation mode without a gradient."""

    def averaged(self, images: Tensor) -> Tensor:
        """Logits of the moving average of the weights (`Method.average_decay`), in training mode, without a gradient.

        Batch norm normalises by the mini-batch, as in the authors' code of ELR+; the average's moving statistics, which
        are its own, are kept and never used.
        """


class Batch(NamedTuple):
    """What a step is given.

    Attributes:
        labels: (B,) int32 given labels. views: (B, H, W, C) float32 images, one for each of `Method.views`.
        draws: what `Method.draw` gave for this step. learns: whether each network learns in this pass.
        stage: the pass's, one of `Method.stages`.
    """

    labels: Tensor
    views: tuple[Tensor, ...]
    draws: dict[str, Tensor]
    learns: tuple[bool, ...]
    stage: str = ""


class Step(NamedTuple):
    """What a method makes of a mini-batch.

    Attributes:
        losses: one scalar per network, to be differentiated: network k learns from loss k alone. None where a network
            does not learn in this pass.
        rows: the batch's rows of the memory, to be written back.
        clean_sets: for each network (B,) bool, the samples taken as clean by its losses, all False while the choice
            is not in use; empty for a method that takes no such choice.
        tallies: by name (B,) bool or float32, what the method's metrics count: the engine adds each up over the epoch,
            under its name.
        labels: by name (B,) int32, labels that the method puts in the place of the given ones, -1 where there is
            none. The engine counts those there are under the name, and the right ones under the name with "_right".
        logits: (B, K) of each network, of which training errors and what the engine remembers are taken; `full_step`
            gives them.
    """

    losses: tuple[Tensor, ...]
    rows: dict[str, Tensor]
    clean_sets: tuple[Tensor, ...] = ()
    tallies: dict[str, Tensor] = {}  # noqa: RUF012 (never written to, and frameworks know no read-only one)
    labels: dict[str, Tensor] = {}  # noqa: RUF012
    logits: tuple[Tensor, ...] = ()


class Learned(NamedTuple):
    """Numbers that are learned beside the networks, by plain gradient descent on the sum of all losses.

    Attributes:
        start: (N, …) float32, a row a sample; of shared numbers any shape.
        learning_rate: the name of its learning rate in the schedule.
        low, high: what they are clipped to after each step.
        shared: whether all samples have the same ones.
    """

    start: np.ndarray
    learning_rate: str
    low: float | None = None
    high: float | None = None
    shared: bool = False


class Pass(NamedTuple):
    """A part of an epoch: mini-batches, and the networks that learn from them.

    Attributes:
        indices: (steps, B) int32, rows of samples; no row stands twice in a mini-batch. B is the same in all passes of
            a run, and need not be the run's batch size.
        learns: for each network, whether it learns.
        stage: one of `Method.stages`.
    """

    indices: np.ndarray
    learns: tuple[bool, ...]
    stage: str = ""


Predict = Callable[[int], np.ndarray]
"""(number of a network, from 0) -> (N, K) float32 probabilities of the training images, in evaluation mode."""


@dataclass(frozen=True)
class Method:
    """Base of all methods; a subclass is a frozen dataclass whose fields are its settings (`trainer.settings`)."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    """Where the method comes from: authors, title, venue."""
    num_networks: ClassVar[int] = 1
    tested_together: ClassVar[bool] = False
    """Whether its networks classify by the sum of their logits: the headline errors are then those of all together."""
    stages: ClassVar[tuple[str, ...]] = ("",)
    """Names of what its steps may be: a step is compiled for each, and sees which in `Batch.stage`. Of more than one,
    epochs may differ in their passes, so that no time is foretold from the first one."""
    samplings: ClassVar[tuple[str, ...]] = SAMPLINGS
    """With which `--sampling` its passes can be made."""
    shared: ClassVar[tuple[str, ...]] = ()
    """Names of the memory that are not a row a sample, but the same for all; a step finds them whole."""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    """What its steps tell beside loss and error, in the order of the columns."""
    columns: ClassVar[tuple[SampleColumn, ...]] = ()
    """What it tells of each sample in the end, in samples.h5."""
    uses_noise_rate: ClassVar[bool] = False
    """Whether its training depends on the noise rate of the run."""

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

    def check(self, epochs: int) -> None:
        """Raise TrainerError where settings contradict each other or the number of epochs."""

    @property
    def num_runs(self) -> int:
        """How many times training starts afresh."""
        return 1

    @property
    def views(self) -> tuple[str, ...]:
        """Which views of each image a step sees: TRAIN_VIEW, or a name of `trainer.augmentation`."""
        return (TRAIN_VIEW,)

    @property
    def relative_cost(self) -> float:
        """How many times Default's an epoch costs, at most, by the passes through networks that it takes.

        A forward pass is a third of a forward and a backward one. Sweeps foretell their time by it.
        """
        return float(self.num_networks)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know about these settings before they are run, a line each."""
        return ()

    @property
    def average_decay(self) -> float | None:
        """Decay of a moving average of each network's weights, taken after each step; None for no average.

        Where `schedule` has AVERAGE_DECAY, that is the epoch's.
        """
        return None

    @property
    def matrix_source(self) -> MatrixSource:
        """Where the transition matrix that it trains with is from."""
        return "none"

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        """What is remembered per sample at the start: arrays with leading axis N, but for the `shared` ones."""
        return {}

    def told(self, dataset: Dataset) -> dict[str, np.ndarray]:
        """Memory that the user tells the method beside the noise rate, of the dataset or of a file; by name.

        Raises:
            TrainerError, DataToolsError: it is not there, or not what is expected.
        """
        return {}

    def sample_values(self, memory: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The values of `columns` from the memory that a run ended with, a row a sample; those of the same name."""
        return {column.name: memory[column.name] for column in self.columns}

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        """What changes with the epoch (from 0), the mini-batch's size and the noise rate; same keys always."""
        return {}

    def learned(self, num_samples: int, num_classes: int) -> dict[str, Learned]:
        """What is learned beside the networks; a step finds it among its rows, under its name."""
        return {}

    def draw(self, rng: np.random.Generator, batch_size: int) -> dict[str, np.ndarray]:
        """Random numbers of one step; always the same names, shapes and types.

        Args:
            rng: a function of (seed, run, epoch, step).
        """
        return {}

    def epoch_passes(
        self, epoch: int, batches: np.ndarray, memory: Mapping[str, np.ndarray], rng: np.random.Generator
    ) -> Sequence[Pass]:
        """The passes of an epoch (from 0), in order; by default one, of all samples, from which all networks learn.

        Args:
            batches: (steps, B) int32, the run's mini-batches of all samples.
            memory: what passes depend on must not be changed by steps, so that a resumed run has the same ones.
            rng: a function of (seed, run, epoch).
        """
        return (Pass(batches, (True,) * self.num_networks),)

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        """One mini-batch by one forward pass of each network.

        Args:
            labels: (B,) int32 given labels. logits: one (B, K) float32 per network.
            rows: the batch's rows of the memory. schedule: float32 scalars, the values of `schedule`.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither step nor full_step")

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        """One mini-batch, from images on; by default a forward pass of each network on the first view, and `step`."""
        logits = tuple(network(batch.views[0]) for network in networks)
        return self.step(batch.labels, logits, rows, schedule)._replace(logits=logits)

    def epoch_end(
        self, epoch: int, memory: dict[str, np.ndarray], labels: np.ndarray, predict: Predict
    ) -> dict[str, np.ndarray]:
        """Memory with which the next epoch starts, on the host, from the one that this epoch (from 0) ended with.

        Args:
            labels: (N,) int32 given labels.
        """
        return memory

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
