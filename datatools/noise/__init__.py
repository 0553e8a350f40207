"""The label noise that `datatools corrupt` injects.

Adding a class-dependent noise: a function `(num_classes, rate) -> (K, K) float64` in transition.py, and a line in
NOISE_TYPES.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from datatools.errors import DataToolsError
from datatools.noise import transition


@dataclass(frozen=True)
class NoiseType:
    """A line of the registry.

    Attributes:
        matrix: (number of classes K, noise rate) -> (K, K) transition matrix.
        convention: what `rate` means for it, as dataset.json records it.
    """

    title: str
    matrix: Callable[[int, float], np.ndarray]
    convention: str


NOISE_TYPES: dict[str, NoiseType] = {
    "pair": NoiseType(
        "class i becomes class i + 1, the last the first",
        transition.pair,
        "rate per class: the share of each class's labels that change",
    ),
    "symmetric": NoiseType(
        "a label becomes one of the K - 1 others, each alike",
        transition.symmetric,
        "exclusive, rate per class: the share of each class's labels that change, never to the clean label",
    ),
}
ALIASES = {"symmetry": "symmetric"}
"""Other spellings that are accepted; "symmetry" is the official SELFIE code's."""


def noise_type(name: str) -> tuple[str, NoiseType]:
    """The registry's name and line for `name`, aliases resolved.

    Raises:
        DataToolsError: there is none.
    """
    name = ALIASES.get(name, name)
    if name not in NOISE_TYPES:
        raise DataToolsError(f"noise type '{name}': not known; known are {', '.join(NOISE_TYPES)}")
    return name, NOISE_TYPES[name]


def transition_matrix(name: str, num_classes: int, rate: float) -> np.ndarray:
    """(K, K) float64 transition matrix of the noise `name` at `rate`.

    Raises:
        DataToolsError: the rate is not in [0, 1), or there are fewer than two classes.
    """
    if not (math.isfinite(rate) and 0 <= rate < 1):
        raise DataToolsError(f"rate {rate:g}: a share in [0, 1) is expected, such as 0.2 for 20% wrong labels")
    if num_classes < 2:
        raise DataToolsError("a dataset of one class has no wrong labels to give; at least two classes are needed")
    return noise_type(name)[1].matrix(num_classes, rate)
