"""Draws noisy labels from a transition matrix.

Every draw is a function of (seed, id): sample number `id` owns the `id`-th number of each of the seed's streams,
whatever the order of the records, the number of workers or the size of a chunk (`datatools.seeding`).

Noise is coupled. A sample's first number says how early it flips, the same at every rate and for every type:
for one seed, the samples flipped at 0.2 are among those flipped at 0.4. For `pair` and `symmetric` a sample that
is flipped at both rates also gets the same label.
"""

from __future__ import annotations

import numpy as np

from datatools.errors import DataToolsError
from datatools.seeding import uniforms

SAMPLINGS = ("exact", "bernoulli")
DECIMALS = 9
"""Quotas are rounded to this many decimals, so that 0.6 * 5 means 3 and not the 2.9999999999999996 of floats."""


def target_order(seed: int, num_classes: int) -> np.ndarray:
    """(K, K) int64: for each clean class, the classes in the order in which they win ties."""
    cells = np.arange(num_classes**2)
    return np.argsort(uniforms(seed, "target order", cells).reshape(num_classes, num_classes), axis=1)


def largest_remainder(quota: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Whole numbers nearest to `quota` that keep its sum (Hamilton's method).

    Args:
        quota: (K,) float64 whose sum is whole. order: (K,) a permutation; of equal remainders the one that
            comes first in it is rounded up.

    Returns:
        (K,) int64, each the floor or the ceiling of its quota.
    """
    quota = np.round(quota, DECIMALS)
    counts = np.floor(quota).astype(np.int64)
    left = round(float(quota.sum())) - int(counts.sum())
    remainder = np.round(quota - counts, DECIMALS)
    best = order[np.argsort(-remainder[order], kind="stable")]
    counts[best[:left]] += 1
    return counts


def exact_counts(matrix_row: np.ndarray, clean_class: int, records: int, order: np.ndarray) -> np.ndarray:
    """How many of a class's `records` get each label, (K,) int64: the nearest whole numbers to the row.

    Of equal remainders a flip wins over no flip: a rate is not rounded away where it need not be.
    """
    order = np.concatenate([order[order != clean_class], [clean_class]])
    return largest_remainder(matrix_row * records, order)


def sample_exact(labels: np.ndarray, ids: np.ndarray, matrix: np.ndarray, seed: int) -> np.ndarray:
    """Noisy labels whose counts, class by class, are the nearest reachable to the transition matrix.

    Args:
        labels: (N,) int64 clean labels. ids: (N,) int64, unique. matrix: (K, K) float64, row-stochastic.

    Returns:
        (N,) int64 noisy labels.
    """
    num_classes = len(matrix)
    orders = target_order(seed, num_classes)
    early = uniforms(seed, "flip", ids)
    # class by class, within a class the earliest flip first; ids decide between equal numbers
    by_class = np.lexsort((ids, early, labels))
    ends = np.cumsum(np.bincount(labels, minlength=num_classes))
    noisy = labels.copy()
    for clean_class, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        counts = exact_counts(matrix[clean_class], clean_class, int(end - start), orders[clean_class])
        counts[clean_class] = 0
        targets = _interleaved(counts, matrix[clean_class], orders[clean_class])
        noisy[by_class[start : start + len(targets)]] = targets
    return noisy


def _interleaved(counts: np.ndarray, weights: np.ndarray, order: np.ndarray) -> np.ndarray:
    """`counts[j]` times each j, spread evenly: the i-th j stands at (i + 1/2) / weights[j].

    The place of the i-th j does not depend on how many there are, so a lower rate gives a beginning of the
    sequence of a higher one.
    """
    targets = np.repeat(order, counts[order])
    starts = np.cumsum(counts[order]) - counts[order]
    number = np.arange(len(targets)) - np.repeat(starts, counts[order])
    place = (number + 0.5) / np.where(counts, weights, 1.0)[targets] if len(targets) else number
    # float noise in the weights must not break ties that `order` is there to break
    scale = weights[counts > 0].max() if len(targets) else 1.0
    return targets[np.argsort(np.round(place * scale, DECIMALS), kind="stable")]


def sample_bernoulli(labels: np.ndarray, ids: np.ndarray, matrix: np.ndarray, seed: int) -> np.ndarray:
    """Noisy labels drawn sample by sample from the rows of the transition matrix.

    Args and return as for `sample_exact`; the realised rate scatters around the requested one.
    """
    flips = uniforms(seed, "flip", ids) < 1 - matrix[labels, labels]
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0.0)
    cumulative = np.cumsum(wrong, axis=1)
    draw = uniforms(seed, "target", ids)
    noisy = labels.copy()
    for clean_class in np.unique(labels[flips]):
        members = np.flatnonzero(flips & (labels == clean_class))
        edges = cumulative[clean_class] / cumulative[clean_class, -1]
        noisy[members] = np.searchsorted(edges, draw[members], side="right")
    return noisy


SAMPLERS = {"exact": sample_exact, "bernoulli": sample_bernoulli}


def noisy_labels(labels: np.ndarray, ids: np.ndarray, matrix: np.ndarray, seed: int, sampling: str) -> np.ndarray:
    """Noisy labels for clean ones: a function of (seed, id).

    Args:
        labels, ids: (N,) int64. matrix: (K, K) float64, row-stochastic. sampling: "exact" or "bernoulli".

    Returns:
        (N,) int64.

    Raises:
        DataToolsError: a sampling that is not known, a seed out of range.
    """
    if sampling not in SAMPLERS:
        raise DataToolsError(f"sampling '{sampling}': not known; known are {', '.join(SAMPLINGS)}")
    check_seed(seed)
    return SAMPLERS[sampling](labels, ids, matrix, seed)


def check_seed(seed: int) -> None:
    """Raise DataToolsError for a seed that manifest.h5 could not keep."""
    if not 0 <= seed < 1 << 63:
        raise DataToolsError(f"seed {seed}: a whole number from 0 to 2**63 - 1 is expected")
