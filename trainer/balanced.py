"""Mini-batches in which every label is as frequent as any other, for datasets that have few samples of some."""

from __future__ import annotations

from collections import deque

import numpy as np

from datatools.seeding import permutation


def balanced_order(labels: np.ndarray, batch_size: int, seed: int, run: int, epoch: int) -> np.ndarray:
    """The mini-batches of one epoch, a function of (seed, run, epoch).

    There are as many, of one size, as `data.epoch_order` makes of so many samples. Each has as many samples of each
    given label as any other to within one; a label that has too few samples in all gives those it has, and others fill
    its places. The samples of a label take turns in a random order: those of a rare label come several times an epoch,
    some of a frequent one do not come.

    Args:
        labels: (N,) given labels. batch_size: the largest mini-batch.

    Returns:
        (steps, B) int32 rows of samples; no row stands twice in a mini-batch.

    Example:
        >>> order = balanced_order(np.array([0] * 9 + [1] * 3), 6, seed=0, run=0, epoch=0)
        >>> [int((np.array([0] * 9 + [1] * 3)[batch] == 1).sum()) for batch in order]
        [3, 3]
    """
    steps = -(-len(labels) // batch_size)
    size = -(-len(labels) // steps)
    turns = [_Turns(np.flatnonzero(labels == label), seed, run, epoch) for label in np.unique(labels)]
    counts = np.array([len(turn.samples) for turn in turns])
    batches = np.empty((steps, size), np.int32)
    for step in range(steps):
        quotas = _quotas(counts, size, first=step * (size % len(turns)))
        batches[step] = np.concatenate([turn.take(quota) for turn, quota in zip(turns, quotas, strict=True)])
    return batches


def _quotas(counts: np.ndarray, size: int, first: int) -> np.ndarray:
    """How many samples of each label a mini-batch of `size` has; those that have one more begin with label `first`."""
    quotas = np.zeros(len(counts), np.int64)
    order = (np.arange(len(counts)) + first) % len(counts)
    while (missing := size - int(quotas.sum())) > 0:
        open_labels = order[quotas[order] < counts[order]]
        share, rest = divmod(missing, len(open_labels))
        more = np.full(len(open_labels), share)
        more[:rest] += 1
        quotas[open_labels] = np.minimum(quotas[open_labels] + more, counts[open_labels])
    return quotas


class _Turns:
    """The samples of a label, permuted again and again."""

    def __init__(self, samples: np.ndarray, seed: int, run: int, epoch: int) -> None:
        self.samples, self._seed, self._place = samples, seed, (run, epoch, int(samples[0]))
        self._round = 0
        self._waiting: deque[int] = deque()

    def take(self, count: int) -> np.ndarray:
        """(count,) int64 of the next samples, none twice; those passed over for that are the first next time."""
        taken: dict[int, None] = {}
        passed: list[int] = []
        while len(taken) < count:
            if not self._waiting:
                order = permutation(self._seed, "balanced order", len(self.samples), *self._place, self._round)
                self._waiting.extend(self.samples[order].tolist())
                self._round += 1
            sample = self._waiting.popleft()
            if sample in taken:
                passed.append(sample)
            else:
                taken[sample] = None
        self._waiting.extendleft(reversed(passed))
        return np.array(list(taken), np.int64)
