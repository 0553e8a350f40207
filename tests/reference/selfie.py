"""SELFIE (Song, Kim, Lee, ICML 2019, Algorithm 1) sample by sample, in plain Python and float64.

Written from the description of the algorithm alone, to hold the compiled method to it: no vectors, no rings, no masks.
Positions are places in the mini-batch, ids are samples. The noise rate is a fraction, so that counts are exact.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction


def cross_entropy(logits: Sequence[float], label: int) -> float:
    """-log softmax(logits)[label]."""
    top = max(logits)
    return top + math.log(math.fsum(math.exp(value - top) for value in logits)) - logits[label]


def softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    powers = [math.exp(value - top) for value in logits]
    total = math.fsum(powers)
    return [power / total for power in powers]


@dataclass(frozen=True)
class Outcome:
    """What one step decided; sets hold positions in the mini-batch."""

    clean: set[int]
    certain: set[int]
    """R, the refurbishable samples."""
    refurbished: dict[int, int]
    """Position -> refurbished label, for each sample that trains on one in place of its given label."""
    targets: dict[int, int]
    """Position -> label it is trained on, for each sample of the update."""
    loss: float
    gradient: list[list[float]]
    """d loss / d logits, a row for each position."""
    uncertainty: dict[int, float]
    """Position -> F(x; q) before this step, for each sample with a full history."""


@dataclass
class Selfie:
    num_samples: int
    num_classes: int
    noise_rate: Fraction
    warm_up: int
    history_length: int
    threshold: float
    keep_remembered: bool = True
    """True: the official code. False: Algorithm 1 as printed, where only samples certain now are refurbished."""
    history_of_zeros: bool = False
    """True: the official code, whose histories start as q votes for class 0."""
    remembered_in_warm_up: bool = True
    """False: the official code of 2019, whose warm-ups train on the given labels."""
    lower_noise_rate: bool = True
    """False: the official code of 2019, whose restarts leave the noise rate as it is."""
    histories: dict[int, deque[int]] = field(default_factory=dict)
    remembered: dict[int, int] = field(default_factory=dict)

    def step(self, ids: Sequence[int], labels: Sequence[int], logits: Sequence[Sequence[float]], epoch: int) -> Outcome:
        positions = range(len(ids))
        uncertainty = {
            p: self.uncertainty(ids[p]) for p in positions if len(self.history(ids[p])) == self.history_length
        }
        in_warm_up = epoch < self.warm_up
        if in_warm_up:
            clean, certain = set(positions), set()
        else:
            clean = self.smallest_losses(labels, logits)
            certain = {p for p, value in uncertainty.items() if value <= self.threshold}
        for p in certain:
            self.remembered[ids[p]] = self.most_frequent(ids[p])
        refurbished = {p: self.remembered[ids[p]] for p in positions if p in certain}
        # In the warm-up of a first run nothing is remembered; in a later one, what came before the restart is.
        if self.remembered_in_warm_up if in_warm_up else self.keep_remembered:
            refurbished |= {p: self.remembered[ids[p]] for p in positions if ids[p] in self.remembered}
        targets = {p: labels[p] for p in clean} | refurbished
        for p in positions:
            self.history(ids[p]).append(max(range(self.num_classes), key=lambda j: logits[p][j]))
        loss = math.fsum(cross_entropy(logits[p], label) for p, label in targets.items()) / len(targets)
        return Outcome(clean, certain, refurbished, targets, loss, self.gradient(logits, targets), uncertainty)

    def smallest_losses(self, labels: Sequence[int], logits: Sequence[Sequence[float]]) -> set[int]:
        """The clean set: ceil((1-τ)·|M|) samples of smallest loss against the given label, the first among equals."""
        count = math.ceil((1 - self.noise_rate) * len(labels))
        by_loss = sorted(range(len(labels)), key=lambda p: cross_entropy(logits[p], labels[p]))
        return set(by_loss[:count])

    def history(self, sample: int) -> deque[int]:
        start = [0] * self.history_length if self.history_of_zeros else []
        return self.histories.setdefault(sample, deque(start, maxlen=self.history_length))

    def uncertainty(self, sample: int) -> float:
        """F(x; q): the entropy of the last q predictions, 0 when unanimous and 1 when spread over all classes."""
        counts = Counter(self.history(sample)).values()
        frequencies = [count / self.history_length for count in counts]
        delta = -math.log(1 / self.num_classes)
        return -math.fsum(frequency * math.log(frequency) for frequency in frequencies) / delta

    def most_frequent(self, sample: int) -> int:
        counts = Counter(self.history(sample))
        return min(counts, key=lambda label: (-counts[label], label))

    def gradient(self, logits: Sequence[Sequence[float]], targets: dict[int, int]) -> list[list[float]]:
        """(softmax - onehot) / |R ∪ C| on the samples of the update, 0 on the others."""
        rows = []
        for p, values in enumerate(logits):
            if p not in targets:
                rows.append([0.0] * self.num_classes)
                continue
            row = softmax(values)
            row[targets[p]] -= 1.0
            rows.append([value / len(targets) for value in row])
        return rows

    def restart(self) -> None:
        """The next run: histories start afresh, refurbished labels stay and lower the noise rate."""
        self.histories = {}
        if self.lower_noise_rate:
            self.noise_rate = min(self.noise_rate, 1 - Fraction(len(self.remembered), self.num_samples))
