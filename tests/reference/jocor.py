"""JoCoR (Wei et al., CVPR 2020, Algorithm 1) sample by sample, in plain Python and float64.

Written from the description of the algorithm alone, on Co-teaching's keep rate. Positions are places in the mini-batch;
the networks are called f and g.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.reference.co_teaching import CoTeaching, Rows
from tests.reference.differences import gradient
from tests.reference.selfie import cross_entropy, softmax


def divergence(logits: Sequence[float], others: Sequence[float]) -> float:
    """KL(p ‖ q) = Σ_k p_k log(p_k / q_k)."""
    terms = (p * (cross_entropy(others, k) - cross_entropy(logits, k)) for k, p in enumerate(softmax(logits)))
    return math.fsum(terms)


@dataclass(frozen=True)
class JointOutcome:
    picked: set[int]
    loss: float
    gradient_by_f: list[list[float]]
    """d loss / d logits of f, a row for each position."""
    gradient_by_g: list[list[float]]


@dataclass(frozen=True)
class Jocor:
    keep: CoTeaching
    agreement: float
    """λ."""

    def step(self, labels: Sequence[int], logits_of_f: Rows, logits_of_g: Rows, epoch: int) -> JointOutcome:
        joint = [self.loss(*sample) for sample in zip(labels, logits_of_f, logits_of_g, strict=True)]
        count = self.keep.count(epoch, len(labels))
        picked = set(sorted(range(len(labels)), key=lambda p: joint[p])[:count])
        by_f, by_g = [], []
        for p, (label, f, g) in enumerate(zip(labels, logits_of_f, logits_of_g, strict=True)):
            share = 1 / count if p in picked else 0.0
            of_f = gradient(lambda point, y=label, g=g: self.loss(y, point, g), f)  # type: ignore[misc]
            of_g = gradient(lambda point, y=label, f=f: self.loss(y, f, point), g)  # type: ignore[misc]
            by_f.append([share * value for value in of_f])
            by_g.append([share * value for value in of_g])
        return JointOutcome(picked, math.fsum(joint[p] for p in picked) / count, by_f, by_g)

    def loss(self, label: int, f: Sequence[float], g: Sequence[float]) -> float:
        """Of one sample."""
        supervised = cross_entropy(f, label) + cross_entropy(g, label)
        contrast = divergence(f, g) + divergence(g, f)
        return (1 - self.agreement) * supervised + self.agreement * contrast
