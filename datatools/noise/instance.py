"""Instance-dependent noise: which labels are likely to be confused depends on the image (Xia et al., NeurIPS 2020).

Algorithm 2 of "Part-dependent Label Noise: Towards Instance-dependent Label Noise". Sample i of class y has a flip
rate q_i from a normal distribution N(r, 0.1) cut to [0, 1], and a projection W_y, features x K, of independent N(0, 1)
entries for its class. Its label stays with probability 1 - q_i and becomes j with probability
q_i softmax(x_i W_y without entry y)_j.

The features x_i are the image's pixels, standardised over the image (mean 0, variance 1). The paper leaves the scale
open; without centring, x W_y would mostly be the image's brightness times the column sums of W_y, and nearly all images
of a class would share their wrong label.

Pixels are whole numbers and the entries of W are whole multiples of 2**-24, so the products are sums of whole numbers
below 2**53: exact, whatever the order in which a linear algebra library adds them. So the labels are the same for every
block size, order of records and number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from datatools.format.dataset import Dataset
from datatools.format.records import ImageShape
from datatools.noise.base import Drawn, NoiseRequest, check_classes
from datatools.noise.sampling import check_seed
from datatools.seeding import stream, uniforms

CONVENTION = (
    "rate overall: the mean of the images' own flip rates, which are normal(rate, 0.1) cut to [0, 1]; the transition "
    "matrix is the mean over each class's images of their own"
)
FLIP_RATE_STD = 0.1
NOTABLE_GAP = 0.005
WEIGHT_STEPS = 2.0**24
"""Entries of W are rounded to 1 / WEIGHT_STEPS: 255 * |W| * features stays below 2**53 for up to 2**17 features."""
BLOCK_BYTES = 64 << 20
"""How much of the images, as float64, is held in memory at a time."""


def draw(request: NoiseRequest) -> Drawn:
    """Labels drawn image by image; the transition matrix is the mean over each class's images of their own rows."""
    rate = request.required("rate")
    check_classes(request.num_classes)
    check_seed(request.seed)
    flip_rates = truncated_normal(rate, uniforms(request.seed, "instance flip rate", request.ids))
    flips = uniforms(request.seed, "flip", request.ids) < flip_rates
    targets = uniforms(request.seed, "target", request.ids)
    labels = request.clean.copy()
    matrix = np.eye(request.num_classes)
    for clean_class in np.unique(request.clean).tolist():
        weights = projection(request.seed, clean_class, request.parent.metadata.image_shape, request.num_classes)
        expected = np.zeros(request.num_classes)
        members = np.flatnonzero(request.clean == clean_class)
        for where, pixels in _blocks(request.parent, members):
            wrong = wrong_label_probabilities(pixels, weights, clean_class)
            expected += (flip_rates[where, np.newaxis] * wrong).sum(axis=0)
            flipped = flips[where]
            labels[where[flipped]] = _choose(wrong[flipped], targets[where[flipped]])
        matrix[clean_class] = expected / len(members)
        matrix[clean_class, clean_class] = 1 - flip_rates[members].mean()
    notices: tuple[str, ...] = ()
    if len(flip_rates) and abs(flip_rates.mean() - rate) >= NOTABLE_GAP:
        notices = (
            f"flip rates are normal({rate:g}, {FLIP_RATE_STD:g}) cut to [0, 1], which moves their mean from {rate:g} "
            f"to {flip_rates.mean():.4g}",
        )
    return Drawn(labels, matrix, notices=notices)


def truncated_normal(mean: float, numbers: np.ndarray) -> np.ndarray:
    """Flip rates q_i: a normal distribution of `mean` and FLIP_RATE_STD, cut to [0, 1], by its inverse.

    Args:
        numbers: (N,) uniform in [0, 1).

    Returns:
        (N,) float64 in [0, 1]; zeros for a mean of 0, so that a rate of 0 is no noise.
    """
    if mean == 0:
        return np.zeros(len(numbers))
    from scipy.special import ndtr, ndtri  # type: ignore[import-untyped]  # loaded when it is needed

    low, high = ndtr((0 - mean) / FLIP_RATE_STD), ndtr((1 - mean) / FLIP_RATE_STD)
    rates = mean + FLIP_RATE_STD * ndtri(low + numbers * (high - low))
    return np.clip(rates, 0.0, 1.0)


def projection(seed: int, clean_class: int, image_shape: ImageShape, num_classes: int) -> np.ndarray:
    """W_c of one class: (features, K) float64 of independent N(0, 1) entries, rounded to 1 / WEIGHT_STEPS."""
    from scipy.special import ndtri

    features = image_shape.depth * image_shape.height * image_shape.width
    raw = np.asarray(stream(seed, "instance projection", clean_class).random_raw(features * num_classes), np.uint64)
    # the middle of 2**53 equal steps: never 0, whose inverse is infinite
    weights = np.asarray(ndtri(((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53))
    np.round(weights * WEIGHT_STEPS, out=weights)
    weights /= WEIGHT_STEPS
    return weights.reshape(features, num_classes)


def wrong_label_probabilities(pixels: np.ndarray, weights: np.ndarray, clean_class: int) -> np.ndarray:
    """Softmax of x_i W_y without the clean class.

    Args:
        pixels: (B, features) float64, whole numbers 0..255, of images of one class. weights: (features, K) float64.

    Returns:
        (B, K) float64, each row sums to 1, column `clean_class` is 0.
    """
    mean = pixels.mean(axis=1, keepdims=True)  # of whole numbers: exact up to the division
    deviation = np.sqrt(np.maximum((pixels**2).mean(axis=1, keepdims=True) - mean**2, 0))
    scores = (pixels @ weights - mean * weights.sum(axis=0)) / np.where(deviation > 0, deviation, 1)
    scores[:, clean_class] = -np.inf
    scores -= scores.max(axis=1, keepdims=True)
    odds = np.exp(scores)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _choose(probabilities: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(B,) int64: a column of each row of (B, K) `probabilities`, chosen by (B,) `numbers` in [0, 1)."""
    edges = np.cumsum(probabilities, axis=1)
    edges /= edges[:, -1:]
    return np.asarray((edges <= numbers[:, np.newaxis]).sum(axis=1))


def _blocks(parent: Dataset, members: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The training images at `members`, positions in record order, block by block.

    Yields:
        (B,) positions, and (B, features) float64 pixels 0..255.
    """
    start = 0
    features = int(np.prod(parent.metadata.image_shape))
    step = max(1, BLOCK_BYTES // (8 * features))
    for batch in parent.batches("train"):  # mapped anew for every class, so that mapped pages do not pile up
        here = members[np.searchsorted(members, start) : np.searchsorted(members, start + len(batch))]
        for first in range(0, len(here), step):
            where = here[first : first + step]
            yield where, batch["pixels"][where - start].reshape(len(where), features).astype(np.float64)
        start += len(batch)
