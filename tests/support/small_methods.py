"""Methods that use what the contract has beside one forward pass: each one part of it, small enough to do by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer import ops
from trainer.methods.base import (
    AVERAGE_DECAY,
    Batch,
    Learned,
    Method,
    Network,
    Pass,
    Predict,
    Step,
    Tensor,
    cross_entropy,
)
from trainer.methods.metric import Metric

LOW, HIGH = -0.5, 0.5
RATE = 0.8
DECAY = 0.75


def mean_loss(labels: Tensor, logits: Tensor) -> Tensor:
    return ops.mean(cross_entropy(labels, ops.log_softmax(logits)))


@dataclass(frozen=True)
class LearnsRows(Method):
    """Learns an offset of every sample's logits, and one temperature of all."""

    name = "learns-rows"
    title = paper = "a test"

    def learned(self, num_samples: int, num_classes: int) -> dict[str, Learned]:
        start = np.linspace(-0.1, 0.1, num_samples * num_classes, dtype=np.float32).reshape(num_samples, num_classes)
        return {
            "offset": Learned(start, "rate", LOW, HIGH),
            "temperature": Learned(np.array([1.5], np.float32), "rate", shared=True),
        }

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {"rate": RATE}

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        return Step(losses=(mean_loss(labels, logits[0] * rows["temperature"] + rows["offset"]),), rows={})


@dataclass(frozen=True)
class TakesTurns(Method):
    """Its second network learns from the first half of the samples, after the first one has learned from all."""

    name = "takes-turns"
    title = paper = "a test"
    num_networks = 2

    def epoch_passes(
        self, epoch: int, batches: np.ndarray, memory: Mapping[str, np.ndarray], rng: np.random.Generator
    ) -> Sequence[Pass]:
        chosen = rng.permutation(len(memory["visited"]) // 2).astype(np.int32)
        return Pass(batches, (True, False)), Pass(chosen.reshape(-1, 5), (False, True))

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        return {"visited": np.zeros(num_samples, np.int32)}

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        logits, losses = [], []
        for network, learns in zip(networks, batch.learns, strict=True):
            logits.append(network(batch.views[0]) if learns else network.evaluate(batch.views[0]))
            losses.append(mean_loss(batch.labels, logits[-1]) if learns else None)
        return Step(tuple(losses), rows={"visited": rows["visited"] + 1}, logits=tuple(logits))


@dataclass(frozen=True)
class Averages(Method):
    """Trains plainly, and counts where the average of its weights agrees with the labels."""

    name = "averages"
    title = paper = "a test"
    metrics = (Metric("agreement", "agreement of the average", "share", "agreeing", "samples", tag="test/agreement"),)

    @property
    def average_decay(self) -> float:
        return DECAY

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        logits = networks[0](batch.views[0])
        slow = networks[0].averaged(batch.views[0])
        agreeing = ops.equal(ops.cast(ops.argmax(slow, axis=-1), "int32"), batch.labels)
        return Step((mean_loss(batch.labels, logits),), rows={}, tallies={"agreeing": agreeing}, logits=(logits,))


@dataclass(frozen=True)
class Decays(Averages):
    """Its average follows the weights less closely from epoch to epoch."""

    name = "decays"

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {AVERAGE_DECAY: DECAY * (epoch + 1) / 4}


@dataclass(frozen=True)
class Together(Method):
    """Two networks that learn alike and are tested together."""

    name = "together"
    title = paper = "a test"
    num_networks = 2
    tested_together = True

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        return Step(tuple(mean_loss(labels, values) for values in logits), rows={})


@dataclass(frozen=True)
class HasStages(Method):
    """Its second pass of an epoch is of another stage, in which losses count double."""

    name = "has-stages"
    title = paper = "a test"
    stages = ("", "double")

    def epoch_passes(
        self, epoch: int, batches: np.ndarray, memory: Mapping[str, np.ndarray], rng: np.random.Generator
    ) -> Sequence[Pass]:
        # as many mini-batches as there are epochs before, and one
        return Pass(batches, (True,)), Pass(batches[:1].repeat(epoch + 1, axis=0), (True,), "double")

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        logits = networks[0](batch.views[0])
        weight = {"": 1.0, "double": 2.0}[batch.stage]
        return Step((weight * mean_loss(batch.labels, logits),), rows={}, logits=(logits,))


@dataclass(frozen=True)
class Mixes(Method):
    """Mixes each image with a partner, by random numbers of the step."""

    name = "mixes"
    title = paper = "a test"
    metrics = (Metric("share", "mixing share", "", "share", "samples", tag="test/share"),)

    def draw(self, rng: np.random.Generator, batch_size: int) -> dict[str, np.ndarray]:
        return {
            "share": np.asarray(rng.beta(1.0, 1.0), np.float32),
            "partner": rng.permutation(batch_size).astype(np.int32),
        }

    def full_step(
        self, batch: Batch, networks: tuple[Network, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        share, partner = batch.draws["share"], batch.draws["partner"]
        images = batch.views[0]
        mixed = share * images + (1 - share) * ops.take(images, partner, axis=0)
        logits = networks[0](mixed)
        log_p = ops.log_softmax(logits)
        losses = share * cross_entropy(batch.labels, log_p)
        losses += (1 - share) * cross_entropy(ops.take(batch.labels, partner, axis=0), log_p)
        weight = share * ops.ones_like(losses)
        return Step((ops.mean(losses),), rows={}, tallies={"share": weight}, logits=(logits,))


@dataclass(frozen=True)
class LooksBack(Method):
    """Remembers, at each epoch's end, what the network then says of every sample; trains on it from then on."""

    name = "looks-back"
    title = paper = "a test"

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        return {"said": np.zeros((num_samples, num_classes), np.float32)}

    def epoch_end(
        self, epoch: int, memory: dict[str, np.ndarray], labels: np.ndarray, predict: Predict
    ) -> dict[str, np.ndarray]:
        assert labels.shape == (len(memory["said"]),)
        return {"said": predict(0)}

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        log_p = ops.log_softmax(logits[0])
        losses = cross_entropy(labels, log_p) - ops.sum(rows["said"] * log_p, axis=-1)
        return Step(losses=(ops.mean(losses),), rows={})


SMALL_METHODS: dict[str, type[Method]] = {
    method.name: method for method in (LearnsRows, TakesTurns, Averages, Decays, Together, HasStages, Mixes, LooksBack)
}


def register() -> Any:
    """Put them into the registry of this process."""
    from trainer.methods import METHODS

    METHODS.update(SMALL_METHODS)
