"""Active Bias (Chang, Learned-Miller, McCallum, NIPS 2017, SGD-WPV) sample by sample, in plain Python and float64.

Written from the description of the method alone, to hold the compiled one to it: every sample's history is kept whole,
as a list, and its variance taken from the list. Positions are places in the mini-batch, ids are samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.reference.selfie import cross_entropy, softmax


@dataclass(frozen=True)
class Outcome:
    """What one step came to; lists run over the positions in the mini-batch."""

    weights: list[float]
    loss: float
    gradient: list[list[float]]
    """d loss / d logits, a row for each position."""


@dataclass
class ActiveBias:
    warm_up: int
    smoothing: float
    histories: dict[int, list[float]] = field(default_factory=dict)
    """Id -> probabilities that the network gave the sample's label, all of them, in order."""

    def step(self, ids: Sequence[int], labels: Sequence[int], logits: Sequence[Sequence[float]], epoch: int) -> Outcome:
        weights = [1.0] * len(ids) if epoch < self.warm_up else self.weights(ids)
        losses = [cross_entropy(values, label) for values, label in zip(logits, labels, strict=True)]
        loss = math.fsum(weight * own for weight, own in zip(weights, losses, strict=True)) / len(ids)
        gradient = []
        for weight, values, label in zip(weights, logits, labels, strict=True):
            row = softmax(values)
            row[label] -= 1.0
            gradient.append([weight * value / len(ids) for value in row])
        for sample, values, label in zip(ids, logits, labels, strict=True):
            self.history(sample).append(softmax(values)[label])
        return Outcome(weights, loss, gradient)

    def history(self, sample: int) -> list[float]:
        return self.histories.setdefault(sample, [])

    def weights(self, ids: Sequence[int]) -> list[float]:
        """Deviation plus smoothing over its mean; 1 for a sample whose variance is not known yet."""
        raw = {p: self.deviation(s) + self.smoothing for p, s in enumerate(ids) if len(self.history(s)) >= 2}
        total = math.fsum(raw.values())
        if total == 0:
            return [1.0] * len(ids)
        return [raw[p] * len(raw) / total if p in raw else 1.0 for p in range(len(ids))]

    def mean(self, sample: int) -> float:
        history = self.history(sample)
        return math.fsum(history) / len(history)

    def variance(self, sample: int) -> float:
        """Of the population, not of a sample from it."""
        history, mean = self.history(sample), self.mean(sample)
        return math.fsum((probability - mean) ** 2 for probability in history) / len(history)

    def deviation(self, sample: int) -> float:
        """sqrt(var + var² / (|H| - 1))."""
        variance = self.variance(sample)
        return math.sqrt(variance + variance**2 / (len(self.history(sample)) - 1))
