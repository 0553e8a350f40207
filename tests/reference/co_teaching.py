"""Co-teaching (Han et al., NIPS 2018, Algorithm 1) sample by sample, in plain Python and float64.

Written from the description of the algorithm alone, to hold the compiled method to it. Positions are places in the
mini-batch. The noise rate is a fraction, so that counts are exact. The networks are called f and g, as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tests.reference.selfie import cross_entropy, softmax

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Outcome:
    """What one step decided; sets hold positions in the mini-batch."""

    picked_by_f: set[int]
    picked_by_g: set[int]
    loss_of_f: float
    loss_of_g: float
    gradient_of_f: list[list[float]]
    """d loss of f / d logits of f, a row for each position."""
    gradient_of_g: list[list[float]]


@dataclass(frozen=True)
class CoTeaching:
    noise_rate: Fraction
    ramp_epochs: int
    """T_k."""
    official: bool = False
    """False: SELFIE's comparison. True: the schedule and the rounding of the official code."""

    def step(self, labels: Sequence[int], logits_of_f: Rows, logits_of_g: Rows, epoch: int) -> Outcome:
        count = self.count(epoch, len(labels))
        picked_by_f = self.smallest_losses(labels, logits_of_f, count)
        picked_by_g = self.smallest_losses(labels, logits_of_g, count)
        # the exchange: what one picks, the other learns
        return Outcome(
            picked_by_f,
            picked_by_g,
            loss_of_f=mean_loss(labels, logits_of_f, picked_by_g),
            loss_of_g=mean_loss(labels, logits_of_g, picked_by_f),
            gradient_of_f=mean_gradient(labels, logits_of_f, picked_by_g),
            gradient_of_g=mean_gradient(labels, logits_of_g, picked_by_f),
        )

    def keep_rate(self, epoch: int) -> Fraction:
        if not self.official:
            return 1 - self.noise_rate * min(Fraction(1), Fraction(epoch + 1, self.ramp_epochs))
        if epoch >= self.ramp_epochs:
            return 1 - self.noise_rate
        # T_k points from 0 to the noise rate, both ends among them; of one point, the first end alone
        gaps = self.ramp_epochs - 1
        return 1 - (self.noise_rate * Fraction(epoch, gaps) if gaps else Fraction(0))

    def count(self, epoch: int, batch_size: int) -> int:
        exact = self.keep_rate(epoch) * batch_size
        return max(1, math.floor(exact) if self.official else math.ceil(exact))

    @staticmethod
    def smallest_losses(labels: Sequence[int], logits: Rows, count: int) -> set[int]:
        """The `count` positions of smallest loss, the first among equals."""
        by_loss = sorted(range(len(labels)), key=lambda p: cross_entropy(logits[p], labels[p]))
        return set(by_loss[:count])


def mean_loss(labels: Sequence[int], logits: Rows, positions: set[int]) -> float:
    return math.fsum(cross_entropy(logits[p], labels[p]) for p in positions) / len(positions)


def mean_gradient(labels: Sequence[int], logits: Rows, positions: set[int]) -> list[list[float]]:
    """(softmax - onehot) / count on the positions, 0 on the others."""
    rows = []
    for p, values in enumerate(logits):
        row = softmax(values)
        row[labels[p]] -= 1.0
        rows.append([value / len(positions) if p in positions else 0.0 for value in row])
    return rows
