"""DivideMix (Li, Socher, Hoi, ICLR 2020, Algorithm 1) part by part, in plain Python and float64.

Written from the description of the algorithm alone: lists of numbers, no vectors. Samples are ids; a list of logits has
a row for each image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.reference.differences import gradient
from tests.reference.selfie import cross_entropy, softmax

Row = list[float]
Rows = Sequence[Sequence[float]]
TINY = 2.0**-126


# Co-divide


def losses_of(probabilities: Rows, labels: Sequence[int]) -> Row:
    """Cross-entropies, made to range from 0 to 1."""
    raw = [-math.log(max(p[label], TINY)) for p, label in zip(probabilities, labels, strict=True)]
    low, high = min(raw), max(raw)
    return [(value - low) / (high - low) if high > low else 0.0 for value in raw]


def mean_of_last(history: Sequence[Row], count: int) -> Row:
    """Of the last `count` epochs' losses, of those there are, by sample."""
    last = history[-count:]
    return [math.fsum(values) / len(last) for values in zip(*last, strict=True)]


def clean_probabilities(
    values: Sequence[float], clusters: Sequence[int], iterations: int = 10, tol: float = 1e-2, ridge: float = 5e-4
) -> Row:
    """The posterior of the Gaussian of smaller mean, of two, by expectation maximisation from clusters 0 and 1."""
    lower = [float(cluster == 0) for cluster in clusters]
    parts = _fitted(values, lower, ridge)
    before = -math.inf
    for _ in range(iterations):
        lower, likelihood = _posterior(values, parts)
        parts = _fitted(values, lower, ridge)
        if abs(likelihood - before) < tol:
            break
        before = likelihood
    lower, _ = _posterior(values, parts)
    (_, first_mean, _), (_, second_mean, _) = parts
    return lower if first_mean <= second_mean else [1 - p for p in lower]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _fitted(values: Sequence[float], lower: Sequence[float], ridge: float) -> list[tuple[float, float, float]]:
    """(weight, mean, variance) of each component, by the responsibilities of the lower one."""
    parts = []
    for shares in (lower, [1 - p for p in lower]):
        total = math.fsum(shares) + 10 * 2.0**-52
        mean = math.fsum(p * v for p, v in zip(shares, values, strict=True)) / total
        variance = math.fsum(p * (v - mean) ** 2 for p, v in zip(shares, values, strict=True)) / total
        parts.append((total / len(values), mean, variance + ridge))
    return parts


def _posterior(values: Sequence[float], parts: Sequence[tuple[float, float, float]]) -> tuple[Row, float]:
    """The lower component's responsibility for each value, and the mean log-likelihood."""
    posterior, likelihoods = [], []
    for value in values:
        logs = [
            math.log(weight) - 0.5 * (math.log(2 * math.pi * variance) + (value - mean) ** 2 / variance)
            for weight, mean, variance in parts
        ]
        top = max(logs)
        total = top + math.log(math.fsum(math.exp(log - top) for log in logs))
        posterior.append(math.exp(logs[0] - total))
        likelihoods.append(total)
    return posterior, _mean(likelihoods)


def split(probability: Sequence[float], threshold: float) -> tuple[set[int], set[int]]:
    """Labelled and unlabelled samples."""
    labelled = {sample for sample, p in enumerate(probability) if p > threshold}
    return labelled, set(range(len(probability))) - labelled


# A mini-batch


@dataclass(frozen=True)
class Targets:
    refined: list[Row]
    guessed: list[Row]


@dataclass(frozen=True)
class Outcome:
    loss: float
    gradient: list[Row]
    """d loss / d logits of the mixed images, a row for each."""


def targets(
    labels: Sequence[int],
    clean: Sequence[float],
    of_labelled: Sequence[Rows],
    of_unlabelled: Sequence[Rows],
    temperature: float,
) -> Targets:
    """Co-refinement and co-guessing.

    Args:
        labels, clean: of the labelled samples, with the other network's clean probabilities.
        of_labelled: the learning network's logits of each view. of_unlabelled: both networks' logits of each view.
    """
    refined = []
    for place, (label, w) in enumerate(zip(labels, clean, strict=True)):
        p = mean_probability([view[place] for view in of_labelled])
        mixed = [w * (k == label) + (1 - w) * value for k, value in enumerate(p)]
        refined.append(sharpened(mixed, temperature))
    guessed = [
        sharpened(mean_probability([view[place] for view in of_unlabelled]), temperature)
        for place in range(len(of_unlabelled[0]))
    ]
    return Targets(refined, guessed)


def mean_probability(rows: Rows) -> Row:
    all_p = [softmax(row) for row in rows]
    return [_mean(values) for values in zip(*all_p, strict=True)]


def sharpened(p: Sequence[float], temperature: float) -> Row:
    powers = [value ** (1 / temperature) for value in p]
    total = math.fsum(powers)
    return [power / total for power in powers]


def mixed(rows: Rows, share: float, partner: Sequence[int]) -> list[Row]:
    return [
        [share * a + (1 - share) * b for a, b in zip(row, rows[other], strict=True)]
        for row, other in zip(rows, partner, strict=True)
    ]


def semi_supervised(
    logits: Rows, mixed_targets: Rows, labelled: int, unlabelled_weight: float, num_classes: int
) -> Outcome:
    """Cross-entropy of the first `labelled` rows, squared error of the others, and the penalty of all."""

    def loss(flat: list[float]) -> float:
        rows = [flat[start : start + num_classes] for start in range(0, len(flat), num_classes)]
        all_p = [softmax(row) for row in rows]
        supervised = _mean(
            [
                math.fsum(t * cross_entropy(row, k) for k, t in enumerate(target))
                for row, target in zip(rows[:labelled], mixed_targets[:labelled], strict=True)
            ]
        )
        squares = [
            (value - t) ** 2
            for p, target in zip(all_p[labelled:], mixed_targets[labelled:], strict=True)
            for value, t in zip(p, target, strict=True)
        ]
        means = [_mean(values) for values in zip(*all_p, strict=True)]
        penalty = math.fsum(math.log(1 / num_classes / value) / num_classes for value in means)
        return supervised + unlabelled_weight * _mean(squares) + penalty

    return _outcome(loss, logits, num_classes)


def warm_up(logits: Rows, labels: Sequence[int], confidence_penalty: bool, num_classes: int) -> Outcome:
    """Cross-entropy, and under asymmetric noise the negative entropy."""

    def loss(flat: list[float]) -> float:
        rows = [flat[start : start + num_classes] for start in range(0, len(flat), num_classes)]
        total = _mean([cross_entropy(row, label) for row, label in zip(rows, labels, strict=True)])
        if confidence_penalty:
            total += _mean([math.fsum(p * math.log(p) for p in softmax(row)) for row in rows])
        return total

    return _outcome(loss, logits, num_classes)


def _outcome(loss: object, logits: Rows, num_classes: int) -> Outcome:
    flat = [value for row in logits for value in row]
    slopes = gradient(loss, flat)  # type: ignore[arg-type]
    rows = [slopes[start : start + num_classes] for start in range(0, len(slopes), num_classes)]
    return Outcome(loss(flat), rows)  # type: ignore[operator]


def unlabelled_weight(step_in_epochs: float, warm_up_epochs: int, weight: float, ramp: int = 16) -> float:
    """After so many epochs and parts of one, by the authors' code."""
    return weight * min(max((step_in_epochs - warm_up_epochs) / ramp, 0.0), 1.0)
