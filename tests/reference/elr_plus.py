"""ELR+ (Liu et al., NeurIPS 2020) sample by sample, in plain Python and float64.

Written from the description of the method alone: two networks, each with a target of every sample that the other's
averaged weights move. Positions are places in the mini-batch, ids are samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.reference.differences import gradient
from tests.reference.selfie import softmax

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Outcome:
    loss: float
    gradient: list[list[float]]
    """d loss / d logits of the mixed images, a row for each position."""


@dataclass
class ElrPlus:
    num_classes: int
    regularisation: float
    target_momentum: float
    weigh_labels: bool = False
    targets: tuple[dict[int, list[float]], dict[int, list[float]]] = field(default_factory=lambda: ({}, {}))
    """Of each network: id -> moving average of what the other's average says of the sample."""

    def step(
        self,
        network: int,
        ids: Sequence[int],
        labels: Sequence[int],
        logits_of_mixed: Rows,
        logits_of_other: Rows,
        share: float,
        partner: Sequence[int],
        risen: float = 1.0,
    ) -> Outcome:
        """A mini-batch from which one network learns.

        Args:
            logits_of_mixed: the network's, of position p mixed with position partner[p].
            logits_of_other: those of the other network's average, of the images as they are.
        """
        for sample, values in zip(ids, logits_of_other, strict=True):
            self.move_target(network, sample, values)
        losses, gradients = [], []
        for position, values in enumerate(logits_of_mixed):
            other = partner[position]
            pair = [(share, position), (1 - share, other)]
            target = [math.fsum(w * self.target(network, ids[p])[k] for w, p in pair) for k in self.classes]
            label = [math.fsum(w * (labels[p] == k) for w, p in pair) for k in self.classes]
            if self.weigh_labels:
                weighted = [y * q for y, q in zip(label, target, strict=True)]
                label = [value / math.fsum(weighted) for value in weighted]

            def loss(point: list[float], label: list[float] = label, target: list[float] = target) -> float:
                return self.loss(point, label, target, risen)

            losses.append(loss(list(values)))
            gradients.append([value / len(ids) for value in gradient(loss, values)])
        return Outcome(math.fsum(losses) / len(ids), gradients)

    @property
    def classes(self) -> range:
        return range(self.num_classes)

    def target(self, network: int, sample: int) -> list[float]:
        return self.targets[network].get(sample, [0.0] * self.num_classes)

    def move_target(self, network: int, sample: int, logits: Sequence[float]) -> None:
        beta = self.target_momentum
        pairs = zip(self.target(network, sample), softmax(logits), strict=True)
        self.targets[network][sample] = [beta * old + (1 - beta) * new for old, new in pairs]

    def loss(self, logits: Sequence[float], label: Sequence[float], target: Sequence[float], risen: float) -> float:
        p = softmax(logits)
        cross_entropy = -math.fsum(y * math.log(value) for y, value in zip(label, p, strict=True) if y)
        clipped = [min(max(value, 1e-4), 1 - 1e-4) for value in p]
        agreement = math.fsum(value * t for value, t in zip(clipped, target, strict=True))
        return cross_entropy + risen * self.regularisation * math.log(1 - agreement)


def risen(step: int, ramp_steps: int) -> float:
    """The share of a weight after so many steps, by the authors' code: a Gaussian's flank."""
    if ramp_steps == 0:
        return 1.0
    left = 1.0 - min(step, ramp_steps) / ramp_steps
    return math.exp(-5.0 * left * left)


def moved_average(average: Sequence[float], weights: Sequence[float], decay: float) -> list[float]:
    """The averaged weights after a step."""
    return [decay * old + (1 - decay) * new for old, new in zip(average, weights, strict=True)]
