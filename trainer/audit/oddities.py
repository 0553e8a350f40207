"""What else features tell of a folder: pictures that are there twice, and pictures like no other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trainer.audit.neighbours import Nearest

NEARLY_SAME = 0.97
"""Cosine similarity of centred features from which on two pictures are called nearly the same."""
UNLIKE_DEVIATIONS = 5.0
"""A picture is unlike all others where its similarity to its nearest is so many robust deviations below the median."""
MAD_TO_DEVIATION = 1.4826
"""Median absolute deviation -> standard deviation, of a normal distribution."""


class Twin(NamedTuple):
    """Another sample with the same picture; `exact`: to the last pixel."""

    row: int
    exact: bool


def twins(digests: list[bytes], neighbours: Nearest | None) -> dict[int, Twin]:
    """By row, for each sample that has one, the sample that looks the same: an exact one if there is, else the nearest.

    Args:
        digests: of each sample's pixels.
    """
    result: dict[int, Twin] = {}
    if neighbours is not None and neighbours.rows.shape[1]:
        for row in np.flatnonzero(neighbours.similarity[:, 0] >= NEARLY_SAME).tolist():
            result[row] = Twin(int(neighbours.rows[row, 0]), exact=False)
    first: dict[bytes, int] = {}
    for row, digest in enumerate(digests):
        other = first.setdefault(digest, row)
        if other != row:
            result[row] = Twin(other, exact=True)
            if not (other in result and result[other].exact):
                result[other] = Twin(row, exact=True)
    return result


def digests_of(images: Iterator[np.ndarray]) -> list[bytes]:
    """SHA-256 of each image (H, W, C) uint8."""
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]


def unlike_all(neighbours: Nearest) -> np.ndarray:
    """(N,) bool: samples far from every other, measured by how near the others' nearest are."""
    values = neighbours.similarity[:, 0] if neighbours.rows.shape[1] else np.zeros(len(neighbours.rows))
    middle = np.median(values)
    deviation = MAD_TO_DEVIATION * np.median(np.abs(values - middle))
    return np.asarray(values < middle - UNLIKE_DEVIATIONS * deviation) if deviation > 0 else np.zeros(len(values), bool)
