"""One multinomial draw of size 1 for each label, all from one RandomState: as several published codes draw.

NumPy draws it as a chain of binomials, one for each class but the last, until one of them succeeds; each takes one
number from the generator. Which labels come out depends on NumPy's version: 1.17.0 to 2.4 draw nothing for a class of
probability 0, while versions up to 1.16, and 2.5.0, take a number there too (numpy/numpy issues 14522 and 32299).
So the chain is written out here, over `random_sample`, whose numbers are the same in every version.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

BLOCK = 1 << 16


class Chain(NamedTuple):
    """The binomials of one clean class.

    Attributes:
        classes: (J,) int64, the classes that take a number, in order.
        edges, is_reversed: (J,) a number U succeeds where U > edge, or for reversed ones where it is not.
        last: the class that is left where none succeeds.
    """

    classes: np.ndarray
    edges: np.ndarray
    is_reversed: np.ndarray
    last: int


def chain(probabilities: np.ndarray, skips_zeros: bool) -> Chain:
    """The binomials of a (K,) row of the transition matrix.

    A binomial of size 1 and p is drawn by inversion: 0 where U <= exp(log(1 - p)); for p > 1/2 it is 1 less that of
    1 - p. (NumPy draws again where U lies above both probabilities, which are 1 but for the last bit; of 2**53
    numbers that is at most one, and left out.)
    """
    classes, edges, is_reversed = [], [], []
    left = 1.0
    for number, probability in enumerate(probabilities[:-1].tolist()):
        p = probability / left if left > 0 else 0.0
        if p != 0 or not skips_zeros:
            classes.append(number)
            is_reversed.append(p > 0.5)
            edges.append(math.exp(math.log(1.0 - (1.0 - p if p > 0.5 else p))))
        left -= probability
    return Chain(np.array(classes, np.int64), np.array(edges), np.array(is_reversed, bool), len(probabilities) - 1)


def multinomial_labels(clean: np.ndarray, matrix: np.ndarray, skips_zeros: bool = False) -> np.ndarray:
    """Noisy labels, one draw after the other from RandomState(0).

    Args:
        clean: (N,) int64, in the order in which they draw. matrix: (K, K) float64, row-stochastic.
        skips_zeros: draw as NumPy 1.17.0 to 2.4 does, else as the versions before, and 2.5.0.

    Returns:
        (N,) int64.
    """
    generator = np.random.RandomState(0)
    chains = {label: chain(matrix[label], skips_zeros) for label in np.unique(clean).tolist()}
    numbers, position = np.empty(0), 0
    noisy = np.empty_like(clean)
    for sample, label in enumerate(clean.tolist()):
        classes, edges, is_reversed, last = chains[label]
        if len(numbers) - position < len(classes):
            numbers = np.concatenate([numbers[position:], generator.random_sample(BLOCK + len(matrix))])
            position = 0
        succeeds = (numbers[position : position + len(classes)] > edges) != is_reversed
        first = int(succeeds.argmax()) if len(classes) else 0
        if len(classes) and succeeds[first]:
            noisy[sample] = classes[first]
            position += first + 1
        else:
            noisy[sample] = last
            position += len(classes)
    return noisy
