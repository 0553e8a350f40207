"""Out-of-sample probabilities from features: multinomial logistic regression, trained on all folds but one.

Each fit uses one thread and folds are fitted beside each other, so the same features give the same bits whatever the
number of processors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from datatools.processors import usable_processors
from datatools.seeding import permutation

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01)
"""λ of the penalty λ/2 ‖W‖² beside the mean cross-entropy, on standardised features."""
SELECTION_SAMPLES = 5000
"""The penalty is chosen on so many samples at most."""
MAX_ITERATIONS = 300
SMALLEST = 1e-9

Progress = Callable[[int, int], None]


def out_of_sample(
    features: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    num_classes: int,
    penalty: float,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """(N, K) float64 probabilities of each sample by a model that was not trained on its fold; rows sum to 1.

    Args:
        features: (N, D) float32, standardised. labels: (N,) int64, each in every fold's complement. folds: (N,) int64.
        progress: called with (folds done, in all).
    """
    probability = np.empty((len(labels), num_classes))
    numbers = np.unique(folds)

    def predict(fold: int) -> tuple[np.ndarray, np.ndarray]:
        held_out = np.flatnonzero(folds == fold)
        rest = folds != fold
        return held_out, _fit_and_predict(features[rest], labels[rest], features[held_out], num_classes, penalty)

    import sklearn.linear_model  # noqa: F401 (before the threads, which would wait for each other's imports)

    with _one_thread(), ThreadPoolExecutor(min(usable_processors(), len(numbers))) as pool:
        waiting = [pool.submit(predict, int(fold)) for fold in numbers]
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                held_out, predicted = future.result()
                probability[held_out] = predicted
                progress(done, len(numbers))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return np.asarray(probability / probability.sum(axis=1, keepdims=True))


def choose_penalty(
    features: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    num_classes: int,
    seed: int,
    progress: Progress = lambda done, total: None,
) -> float:
    """That of PENALTIES whose out-of-sample cross-entropy of the given labels is lowest; no clean label is needed.

    Args:
        progress: called with (penalties tried, in all).
    """
    chosen = np.sort(permutation(seed, "audit penalty", len(labels))[:SELECTION_SAMPLES])
    # a class of which too few samples were drawn to be in each complement is left out
    counts = np.bincount(labels[chosen], minlength=num_classes)
    chosen = chosen[counts[labels[chosen]] > counts_in_largest_fold(labels[chosen], folds[chosen])[labels[chosen]]]
    losses = []
    for number, penalty in enumerate(PENALTIES, 1):
        probability = out_of_sample(features[chosen], labels[chosen], folds[chosen], num_classes, penalty)
        losses.append(-np.log(np.maximum(probability[np.arange(len(chosen)), labels[chosen]], SMALLEST)).mean())
        progress(number, len(PENALTIES))
    return PENALTIES[int(np.argmin(losses))]


def counts_in_largest_fold(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(K,) how many samples of each label the fold has that has most of them."""
    table = np.zeros((int(labels.max()) + 1, int(folds.max()) + 1), np.int64)
    np.add.at(table, (labels, folds), 1)
    return np.asarray(table.max(axis=1))


def _fit_and_predict(
    features: np.ndarray, labels: np.ndarray, others: np.ndarray, num_classes: int, penalty: float
) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1 / (penalty * len(labels)), max_iter=MAX_ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a little short of the minimum predicts as well
        model.fit(features, labels)
    probability = np.zeros((len(others), num_classes))
    probability[:, model.classes_] = model.predict_proba(others)
    return probability


def _one_thread() -> AbstractContextManager[Any]:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
