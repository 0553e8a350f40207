"""Which labels are clean, by a mixture of two Gaussians of the samples' losses (DivideMix, after Arazo et al. 2019)."""

from __future__ import annotations

import warnings

import numpy as np

LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)
"""What a probability is at least where its logarithm is taken: a loss is at most 87.3."""


def normalised_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) float32 cross-entropies, made to range from 0 to 1; 0 where all are equal.

    Args:
        probabilities: (N, K). labels: (N,) int.
    """
    losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], LEAST_PROBABILITY))
    width = losses.max() - losses.min()
    return np.asarray((losses - losses.min()) / width if width else np.zeros_like(losses), np.float32)


def clean_probabilities(losses: np.ndarray) -> np.ndarray:
    """(N,) float32: the posterior of the Gaussian of smaller mean, of two fitted to (N,) losses; 0 if all are equal."""
    if losses.min() == losses.max():
        return np.zeros(len(losses), np.float32)
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    column = losses.astype(np.float64)[:, None]
    # ten iterations are the method's, converged or not; several threads would add up in any order
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        posterior = mixture.fit(column).predict_proba(column)
    return np.asarray(posterior[:, mixture.means_[:, 0].argmin()], np.float32)
