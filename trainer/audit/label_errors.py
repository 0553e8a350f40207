"""Out-of-sample probabilities -> how likely each given label is wrong, and what it should be.

With p the probabilities that a model gives a sample it has not seen, ỹ its given label and T the estimated transition
matrix, the wrongness of a label is

    max over j ≠ ỹ of  log p_j - log p_ỹ + ¼ (log T[j, ỹ] - log T[ỹ, ỹ])

and the j of the maximum is suggested. The first part alone is the log-odds of the rival; the second one raises
confusions that are common in this dataset. p is a prediction of *given* labels, so it knows of T already, and T counts
for a quarter: on CIFAR-10N and on photos with pair and symmetric noise that share was better than none and than all.
docs/decisions/0028-audit.md
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MATRIX_SHARE = 0.25
SMALLEST_PROBABILITY, SMALLEST_TRANSITION = 1e-9, 1e-3


class Suspects(NamedTuple):
    """What is thought of each label.

    Attributes:
        are: (N,) bool, whether it is suspected. suggested: (N,) int64 labels, never the given ones.
        confidence: (N,) float64 in [0, 1], of the suggestion.
    """

    are: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray


def find_suspects(labels: np.ndarray, probability: np.ndarray, matrix: np.ndarray, rate: float) -> Suspects:
    """The labels of largest wrongness, as many as `rate` says, as far as another label is likelier.

    Args:
        labels, probability, matrix: as of `wrongness`. rate: share of the labels, in [0, 1].
    """
    values, suggested = wrongness(labels, probability, matrix)
    chosen = most_wrong(values, round(rate * len(labels))) & (values > 0)
    return Suspects(chosen, suggested, confidence(values))


def wrongness(labels: np.ndarray, probability: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The wrongness of each label, above 0 where another one is likelier, and the suggested labels.

    Args:
        labels: (N,) int64 given. probability: (N, K) float64, out of sample. matrix: (K, K) T[true, given].

    Returns:
        (N,) float64 and (N,) int64.
    """
    rows = np.arange(len(labels))
    support = np.log(np.maximum(probability, SMALLEST_PROBABILITY))
    support += MATRIX_SHARE * np.log(np.maximum(matrix, SMALLEST_TRANSITION))[:, labels].T
    of_given = support[rows, labels].copy()
    support[rows, labels] = -np.inf
    suggested = support.argmax(axis=1)
    return support[rows, suggested] - of_given, suggested


def confidence(wrongness: np.ndarray) -> np.ndarray:
    """(N,) share in [0, 1] of the suggested label between it and the given one: 0.5 where both are as likely."""
    return np.asarray(1 / (1 + np.exp(-np.clip(wrongness, -50, 50))))


def most_wrong(wrongness: np.ndarray, count: int) -> np.ndarray:
    """(N,) bool: the `count` of largest wrongness; of equals the first."""
    chosen = np.zeros(len(wrongness), bool)
    chosen[np.argsort(-wrongness, kind="stable")[:count]] = True
    return chosen
