"""Named streams of random numbers.

Every random choice of this project takes its numbers from such a stream: a function of (seed, name, indices) and
of nothing else. NumPy promises the raw output of a bit generator for good (NEP 19), so they are the same in every
version, on every machine.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, name: str, *indices: int) -> np.random.Philox:
    """The bit generator of the stream `name` of `seed`; `indices` (an epoch, a run, …) name its sub-streams."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return np.random.Philox(np.random.SeedSequence(seed, spawn_key=(key, *indices)))


def uniforms(seed: int, name: str, ids: np.ndarray) -> np.ndarray:
    """One number in [0, 1) for each id.

    Args:
        ids: (N,) non-negative integers. Sample number `id` owns the `id`-th number of the stream, whatever the
            order of the ids and however many there are.

    Returns:
        (N,) float64 with 53 random bits.
    """
    if not len(ids):
        return np.empty(0)
    raw = np.asarray(stream(seed, name).random_raw(int(ids.max()) + 1), np.uint64)
    return (raw[ids] >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, name: str, length: int, *indices: int) -> np.ndarray:
    """(length,) int64: a random order of 0..length-1."""
    return np.argsort(np.asarray(stream(seed, name, *indices).random_raw(length)), kind="stable")
