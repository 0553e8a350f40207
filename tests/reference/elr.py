"""ELR (Liu et al., NeurIPS 2020, one network) sample by sample, in plain Python and float64.

Written from the description of the method alone: every sample's target is a list of its own. Positions are places in
the mini-batch, ids are samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.reference.differences import gradient
from tests.reference.selfie import cross_entropy, softmax


@dataclass(frozen=True)
class Outcome:
    loss: float
    gradient: list[list[float]]
    """d loss / d logits, a row for each position."""


@dataclass
class Elr:
    num_classes: int
    regularisation: float
    target_momentum: float
    targets: dict[int, list[float]] = field(default_factory=dict)
    """Id -> moving average of the sample's predictions."""

    def step(self, ids: Sequence[int], labels: Sequence[int], logits: Sequence[Sequence[float]]) -> Outcome:
        losses, gradients = [], []
        for sample, label, values in zip(ids, labels, logits, strict=True):
            self.move_target(sample, values)
            losses.append(self.loss(sample, label, values))
            row = gradient(lambda point, s=sample, y=label: self.loss(s, y, point), values)  # type: ignore[misc]
            gradients.append([value / len(ids) for value in row])
        return Outcome(math.fsum(losses) / len(ids), gradients)

    def probabilities(self, logits: Sequence[float]) -> list[float]:
        return [min(max(p, 1e-4), 1 - 1e-4) for p in softmax(logits)]

    def target(self, sample: int) -> list[float]:
        return self.targets.get(sample, [0.0] * self.num_classes)

    def move_target(self, sample: int, logits: Sequence[float]) -> None:
        p = self.probabilities(logits)
        beta, total = self.target_momentum, math.fsum(p)
        self.targets[sample] = [
            beta * old + (1 - beta) * new / total for old, new in zip(self.target(sample), p, strict=True)
        ]

    def loss(self, sample: int, label: int, logits: Sequence[float]) -> float:
        """Of one sample, whose target is a constant."""
        agreement = math.fsum(p * t for p, t in zip(self.probabilities(logits), self.target(sample), strict=True))
        return cross_entropy(logits, label) + self.regularisation * math.log(1 - agreement)
