"""Neighbours in feature space: who stands beside whom, and a noise rate from their labels.

Two neighbours of a sample usually have its true label. So the given labels of such a triplet are three independent
draws from one row of the transition matrix, and the counts of triplets tell both the matrix and the true shares of the
classes (Zhu, Song, Liu: "Clusterability as an Alternative to Anchor Points When Learning with Noisy Labels", ICML 2021,
which matches the counts by gradient descent; here the same model is fitted by maximum likelihood). Neighbours of
another true class read as noise: where features tell classes badly apart the rate is too high.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

BLOCK_BYTES = 64 << 20
ITERATIONS = 200
TOLERANCE = 1e-7
"""The fit ends when its mean log-likelihood rises by less."""
START = 0.7
"""The diagonal that the fit starts with, beside equal shares of the rest."""


class Nearest(NamedTuple):
    """The nearest other samples of each, by cosine similarity of the centred features.

    Attributes:
        rows: (N, n) int64, nearest first. similarity: (N, n) float32.
    """

    rows: np.ndarray
    similarity: np.ndarray


def nearest(
    features: np.ndarray, count: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Nearest:
    """The `count` nearest of each of (N, D) samples; fewer where there are no more.

    Args:
        progress: called with (samples done, in all).
    """
    size = len(features)
    count = min(count, size - 1)
    centred = features - features.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    rows, similarity = np.empty((size, count), np.int64), np.empty((size, count), np.float32)
    step = max(1, BLOCK_BYTES // (4 * size))
    for start in range(0, size, step):
        end = min(start + step, size)
        products = centred[start:end] @ centred.T
        products[np.arange(end - start), np.arange(start, end)] = -np.inf
        part = np.argpartition(-products, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(products, part, axis=1)
        order = np.lexsort((part, -values), axis=1)
        rows[start:end] = np.take_along_axis(part, order, axis=1)
        similarity[start:end] = np.take_along_axis(values, order, axis=1)
        progress(end, size)
    return Nearest(rows, similarity)


def triplet_estimate(labels: np.ndarray, rows: np.ndarray, num_classes: int) -> tuple[float, np.ndarray]:
    """Noise rate and (K, K) matrix T[true, given] from the labels of each sample and of its two nearest.

    Args:
        labels: (N,) int64. rows: (N, 2 or more), as `Nearest` has them.
    """
    triplets = np.stack([labels, labels[rows[:, 0]], labels[rows[:, 1]]], axis=1)
    kinds, numbers = np.unique(triplets, axis=0, return_counts=True)
    weights = numbers / numbers.sum()
    present = np.bincount(labels, minlength=num_classes) > 0
    shares = present / present.sum()
    matrix = np.full((num_classes, num_classes), (1 - START) / num_classes) + START * np.eye(num_classes)
    before = -np.inf
    for _ in range(ITERATIONS):
        # Expectation: how much each true class explains a kind of triplet
        joint = shares[:, None] * matrix[:, kinds[:, 0]] * matrix[:, kinds[:, 1]] * matrix[:, kinds[:, 2]]
        likelihood = joint.sum(axis=0)
        part = joint / likelihood * weights
        # Maximisation
        shares = part.sum(axis=1)
        counts = np.zeros((num_classes, num_classes))
        for place in range(3):
            np.add.at(counts.T, kinds[:, place], part.T)
        sums = counts.sum(axis=1, keepdims=True)
        matrix = np.where(sums > 0, counts / np.where(sums > 0, sums, 1), np.eye(num_classes))
        reached = float(weights @ np.log(likelihood))
        if reached - before < TOLERANCE:
            break
        before = reached
    return float(1 - shares @ np.diag(matrix)), matrix
