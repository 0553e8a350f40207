"""Labels of classes of any size, and the noise drawn for them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from datatools.noise import NOISE_TYPES, transition_matrix
from datatools.noise.sampling import noisy_labels

TYPES = sorted(name for name, spec in NOISE_TYPES.items() if spec.matrix)  # the others: test_noise_types.py
COUPLED = ["pair", "symmetric"]
CLASS_COUNTS = [2, 3, 10, 100]
RATES = st.floats(0, 0.999) | st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.8, 0.9])


def labels_of(sizes: list[int]) -> np.ndarray:
    """`sizes[c]` labels c, mixed, in an order that depends on the sizes only."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(len(labels)).permutation(labels)


def corrupted(labels: np.ndarray, noise: str, rate: float, seed: int, sampling: str, num_classes: int) -> np.ndarray:
    matrix = transition_matrix(noise, num_classes, rate)
    return noisy_labels(labels, np.arange(len(labels)), matrix, seed, sampling)


@st.composite
def class_sizes(draw: st.DrawFn) -> list[int]:
    """Sizes of 2, 3, 10 or 100 classes, empty ones among them."""
    num_classes = draw(st.sampled_from(CLASS_COUNTS))
    largest = draw(st.sampled_from([1, 3, 12, 60]))
    return draw(st.lists(st.integers(0, largest), min_size=num_classes, max_size=num_classes))
