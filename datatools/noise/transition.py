"""Transition matrices: T[i, j] = P(noisy label = j | clean label = i), each row sums to 1.

`rate` is the probability that a label changes, the same for every class.
"""

from __future__ import annotations

import numpy as np


def pair(num_classes: int, rate: float) -> np.ndarray:
    """Pair noise: class i becomes i + 1 (the last becomes the first) with probability `rate`.

    (Han et al. 2018, "pair flipping"; SELFIE, section 4.) Returns (K, K) float64.
    """
    matrix = np.eye(num_classes) * (1 - rate)
    classes = np.arange(num_classes)
    matrix[classes, (classes + 1) % num_classes] += rate
    return matrix


def symmetric(num_classes: int, rate: float) -> np.ndarray:
    """Symmetric noise, exclusive: with probability `rate` a label becomes one of the K - 1 others, each alike.

    (Han et al. 2018 and SELFIE, section 4; the wrong label is never the clean one, so the realised rate is
    `rate`.) Returns (K, K) float64.
    """
    matrix = np.full((num_classes, num_classes), rate / (num_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix
