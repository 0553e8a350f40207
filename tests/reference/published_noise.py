"""Transcriptions of how published codes draw noisy labels, sample by sample; see the modules of noise.published."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np


def binomial(generator: np.random.RandomState, p: float) -> int:
    """A binomial of size 1 as NumPy's rk_binomial draws it up to 1.16: by inversion, also where p is 0."""
    if p > 0.5:
        return 1 - binomial_by_inversion(generator, 1.0 - p)
    return binomial_by_inversion(generator, p)


def binomial_by_inversion(generator: np.random.RandomState, p: float) -> int:
    q = 1.0 - p
    start = math.exp(math.log(q))
    bound = int(min(1.0, p + 10.0 * math.sqrt(p * q + 1)))
    successes, mass, number = 0, start, generator.random_sample()
    while number > mass:
        successes += 1
        if successes > bound:
            successes, mass, number = 0, start, generator.random_sample()
        else:
            number -= mass
            mass = ((1 - successes + 1) * p * mass) / (successes * q)
    return successes


def co_teaching(clean: Sequence[int], matrix: np.ndarray, zero_takes_a_number: bool = True) -> list[int]:
    """One multinomial draw of size 1 a label, all from RandomState(0); NumPy 1.17 to 2.4 draw nothing where p is 0."""
    generator = np.random.RandomState(0)
    noisy = []
    for label in clean:
        row, left = matrix[label].tolist(), 1.0
        target = len(row) - 1
        for number, probability in enumerate(row[:-1]):
            p = probability / left
            if (p != 0 or zero_takes_a_number) and binomial(generator, p):
                target = number
                break
            left -= probability
        noisy.append(target)
    return noisy


def pair_matrix(num_classes: int, rate: float) -> np.ndarray:
    matrix = np.eye(num_classes)
    for label in range(num_classes):
        matrix[label, label] = 1.0 - rate
        matrix[label, 0 if label == num_classes - 1 else label + 1] = rate
    return matrix


def symmetric_matrix(num_classes: int, rate: float) -> np.ndarray:
    matrix = (rate / (num_classes - 1)) * np.ones((num_classes, num_classes))
    for label in range(num_classes):
        matrix[label, label] = 1.0 - rate
    return matrix


DIVIDEMIX_MAP = {0: 0, 1: 1, 2: 0, 3: 5, 4: 7, 5: 3, 6: 6, 7: 7, 8: 8, 9: 1}


def dividemix(clean: Sequence[int], rate: float, num_classes: int | None, seed: int) -> list[int]:
    """int(rate N) of the shuffled images draw anew, in file order; with num_classes None they move by the map."""
    generator = random.Random(seed)
    order = list(range(len(clean)))
    generator.shuffle(order)
    chosen = set(order[: int(rate * len(clean))])
    noisy = []
    for number, label in enumerate(clean):
        if number not in chosen:
            noisy.append(label)
        elif num_classes is None:
            noisy.append(DIVIDEMIX_MAP[label])
        else:
            noisy.append(generator.randint(0, num_classes - 1))
    return noisy
