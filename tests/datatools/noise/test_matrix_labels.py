"""How the labels of those noise types with a transition matrix are spread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from datatools.format.dataset import Dataset
from datatools.noise import NOISE_TYPES, noise_type, transition_matrix
from datatools.noise.asymmetric import CIFAR10_NAMES, asymmetric
from datatools.noise.base import NoiseRequest
from tests.support.noise_options import CLASSES, matrix_path

LARGE = 100_000


def of_class_numbers(noise: str, folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    return transition_matrix(noise, CLASSES, 0.3), {"rate": 0.3}


MATRICES: dict[str, Callable[[Path], tuple[np.ndarray, dict[str, Any]]]] = {
    **{name: partial(of_class_numbers, name) for name, spec in NOISE_TYPES.items() if spec.matrix},
    "asymmetric": lambda folder: (asymmetric(CIFAR10_NAMES, 0.3), {"rate": 0.3}),
    "matrix": lambda folder: (np.eye(CLASSES) * 0.5 + 0.05, {"matrix": matrix_path(folder)}),
}


@pytest.fixture
def large(parent: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Ids and labels of 100,000 records, 10,000 a class."""
    return np.arange(LARGE), np.random.default_rng(7).permutation(np.arange(LARGE) % CLASSES)


def counted(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    return np.bincount(clean * CLASSES + noisy, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def drawn_labels(parent: Dataset, noise: str, sampling: str, large: Any, options: dict[str, Any]) -> np.ndarray:
    ids, clean = large
    request = NoiseRequest(parent, ids, clean, options.pop("rate", None), 11, sampling, **options)
    return noise_type(noise)[1].draw(request).labels


@pytest.mark.parametrize("noise", MATRICES)
def test_exact_labels_are_the_matrix_to_the_count(tmp_path: Path, parent: Dataset, large: Any, noise: str) -> None:
    matrix, options = MATRICES[noise](tmp_path)
    counts = counted(large[1], drawn_labels(parent, noise, "exact", large, options))
    assert np.abs(counts - matrix * LARGE / CLASSES).max() < 1
    assert counts.sum(axis=1).tolist() == [LARGE // CLASSES] * CLASSES


@pytest.mark.parametrize("noise", MATRICES)
def test_bernoulli_labels_follow_the_matrix(tmp_path: Path, parent: Dataset, large: Any, noise: str) -> None:
    matrix, options = MATRICES[noise](tmp_path)
    counts = counted(large[1], drawn_labels(parent, noise, "bernoulli", large, options))
    expected = matrix * LARGE / CLASSES
    possible = expected > 0
    assert (counts[~possible] == 0).all()
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - CLASSES
    assert 1e-4 < stats.chi2.sf(statistic, freedom) < 1 - 1e-4  # too good a fit is no random draw either


def test_every_type_with_a_matrix_of_its_own_is_held_to_it() -> None:
    # instance: test_instance.py; human and open-set ask for none
    assert set(NOISE_TYPES) - set(MATRICES) == {"instance", "human", "file", "open-set"}


def test_the_inclusive_rate_is_lower_than_the_requested() -> None:
    matrix = transition_matrix("symmetric-inclusive", 10, 0.4)
    np.testing.assert_allclose(matrix, 0.6 * np.eye(10) + 0.04, atol=1e-15)
    assert 1 - np.diag(matrix).mean() == pytest.approx(0.4 * (1 - 1 / 10))
