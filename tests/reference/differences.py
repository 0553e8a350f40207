"""Gradients by central differences, in float64: they know nothing of the formula they are to confirm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

STEP = 1e-5


def gradient(function: Callable[[list[float]], float], point: Sequence[float]) -> list[float]:
    """d function / d each number of `point`."""
    slopes = []
    for place in range(len(point)):
        after, before = list(point), list(point)
        after[place] += STEP
        before[place] -= STEP
        slopes.append((function(after) - function(before)) / (2 * STEP))
    return slopes
