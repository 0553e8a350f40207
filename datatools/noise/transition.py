"""Transition matrices: T[i, j] = P(noisy label = j | clean label = i), each row sums to 1.

`rate` is the probability that a label changes, the same for every class; in `symmetric_inclusive`, that it is drawn
anew.
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


def symmetric_inclusive(num_classes: int, rate: float) -> np.ndarray:
    """Symmetric noise, inclusive: with probability `rate` a label is drawn anew from all K classes, T = (1-r) I + r/K.

    (Li et al. 2020, DivideMix; Liu et al. 2020, ELR. The clean label is among those drawn, so labels change at the
    rate r(1 - 1/K) and not r.) Returns (K, K) float64.
    """
    matrix = np.full((num_classes, num_classes), rate / num_classes)
    # the diagonal from the others, so that r = 0 is the identity to the bit
    np.fill_diagonal(matrix, 1 - rate / num_classes * (num_classes - 1))
    return matrix
