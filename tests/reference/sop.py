"""SOP and SOP+ (Liu et al., ICML 2022) sample by sample, in plain Python and float64.

Written from the description of the method alone: every sample has a u of its own and a v for each class, and the
gradient of each is of the losses that it learns by. Positions are places in the mini-batch, ids are samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.reference.differences import gradient
from tests.reference.selfie import softmax

SMALL = 1e-4


@dataclass(frozen=True)
class Outcome:
    loss: float
    gradient: list[list[float]]
    """d loss / d logits, a row for each position."""


@dataclass
class Sop:
    num_classes: int
    u_learning_rate: float
    v_learning_rate: float
    balance: float = 0.0
    u_by_both: bool = False
    u: dict[int, float] = field(default_factory=dict)
    v: dict[int, list[float]] = field(default_factory=dict)

    def step(self, ids: Sequence[int], labels: Sequence[int], logits: Sequence[Sequence[float]]) -> Outcome:
        """The loss, its gradient, and u and v moved."""
        size = len(ids)
        for sample in ids:
            self.u.setdefault(sample, 1e-8)
            self.v.setdefault(sample, [1e-8] * self.num_classes)
        loss = self.fit(ids, labels, logits) + self.misfit(ids, labels, logits)
        gradients, moved_u, moved_v = [], {}, {}
        for place, sample in enumerate(ids):

            def by_logits(point: list[float], place: int = place) -> float:
                return self.fit(ids, labels, [*logits[:place], point, *logits[place + 1 :]])

            def fit_by_u(point: list[float], sample: int = sample) -> float:
                return self.with_values(sample, point[0], self.v[sample]).fit(ids, labels, logits)

            def misfit_by_u(point: list[float], sample: int = sample) -> float:
                return self.with_values(sample, point[0], self.v[sample]).misfit(ids, labels, logits)

            def misfit_by_v(point: list[float], sample: int = sample) -> float:
                return self.with_values(sample, self.u[sample], point).misfit(ids, labels, logits)

            gradients.append(gradient(by_logits, logits[place]))
            slope = gradient(fit_by_u, [self.u[sample]])[0]
            if self.u_by_both:
                slope += gradient(misfit_by_u, [self.u[sample]])[0]
            moved_u[sample] = self.u[sample] - self.u_learning_rate * slope
            slopes = gradient(misfit_by_v, self.v[sample])
            moved_v[sample] = [
                value - self.v_learning_rate * slope for value, slope in zip(self.v[sample], slopes, strict=True)
            ]
        assert len(moved_u) == size, "no sample stands twice in a mini-batch"
        self.u |= moved_u
        self.v |= moved_v
        return Outcome(loss, gradients)

    def with_values(self, sample: int, u: float, v: list[float]) -> Sop:
        """The same, but for the numbers of one sample."""
        rates = (self.u_learning_rate, self.v_learning_rate, self.balance, self.u_by_both)
        return Sop(self.num_classes, *rates, {**self.u, sample: u}, {**self.v, sample: v})

    def noise(self, sample: int, label: int, which: int) -> tuple[float, float]:
        """What is added to, and what is taken from, the probability of a class."""
        added = min(self.u[sample] ** 2, 1 - SMALL) if which == label else 0.0
        taken = min(self.v[sample][which] ** 2, 1 - SMALL) if which != label else 0.0
        return added, taken

    def prediction(self, sample: int, label: int, logits: Sequence[float]) -> list[float]:
        corrected = []
        for which, p in enumerate(softmax(logits)):
            added, taken = self.noise(sample, label, which)
            corrected.append(max(p + added - taken, SMALL))
        total = math.fsum(corrected)
        return [max(value / total, SMALL) for value in corrected]

    def fit(self, ids: Sequence[int], labels: Sequence[int], logits: Sequence[Sequence[float]]) -> float:
        """What the network and u learn by: cross-entropy, and the balance of the classes."""
        predictions = [self.prediction(*sample) for sample in zip(ids, labels, logits, strict=True)]
        picked = [prediction[label] for prediction, label in zip(predictions, labels, strict=True)]
        loss = -math.fsum(math.log(p) for p in picked) / len(ids)
        for which in range(self.num_classes):
            mean = math.fsum(prediction[which] for prediction in predictions) / len(ids)
            loss -= self.balance / self.num_classes * math.log(max(mean, SMALL))
        return loss

    def misfit(self, ids: Sequence[int], labels: Sequence[int], logits: Sequence[Sequence[float]]) -> float:
        """What v learns by: the squared distance of the predicted class, corrected, from the label."""
        squares = []
        for sample, label, values in zip(ids, labels, logits, strict=True):
            predicted = max(range(self.num_classes), key=lambda which: values[which])
            for which in range(self.num_classes):
                added, taken = self.noise(sample, label, which)
                squares.append((float(which == predicted) + added - taken - float(which == label)) ** 2)
        return math.fsum(squares) / len(ids)


def consistency(logits: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> float:
    """Mean divergence of the second view's predictions from the first one's."""
    divergences = []
    for first, second in zip(logits, others, strict=True):
        pairs = list(zip(softmax(first), softmax(second), strict=True))
        divergences.append(math.fsum(p * (math.log(p) - math.log(q)) for p, q in pairs))
    return math.fsum(divergences) / len(logits)
