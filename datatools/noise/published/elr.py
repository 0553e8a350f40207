"""ELR's noise (Liu et al., NeurIPS 2020): github.com/shengliu66/ELR, data_loader/cifar10.py and cifar100.py.

Symmetric: of N images in a random order the first are drawn anew from all K classes, as many as there are whole numbers
below rate N. Asymmetric on CIFAR-10: class after class in the order of their numbers, from labels that have changed
already. Asymmetric on CIFAR-100: the next label in blocks of five consecutive ones, which the alphabet made and no
superclass, by multinomial draws from RandomState(0) over images in a random order.

The code never seeds the generator of its random orders, so they are drawn from our seed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from datatools.noise.asymmetric import class_map
from datatools.noise.base import Drawn, NoiseRequest
from datatools.noise.published.base import INCLUSIVE, Convention, class_set, published
from datatools.noise.published.multinomial import multinomial_labels
from datatools.noise.transition import symmetric_inclusive
from datatools.seeding import permutation, uniforms

BLOCK = 5
SEQUENTIAL = (
    "sequential, rate per class and turn: on CIFAR-10 the share of the images that bear a label at its turn, changed "
    "ones among them, so of the cats rate (1 - rate) end as dogs; "
)


def symmetric(request: NoiseRequest, clean: np.ndarray) -> Drawn:
    """Labels of a fixed number of images, drawn anew from all classes."""
    rate = request.required("rate")
    chosen = permutation(request.seed, "elr order", len(clean))[: math.ceil(rate * len(clean))]
    labels = clean.copy()
    labels[chosen] = (uniforms(request.seed, "elr label", chosen) * request.num_classes).astype(np.int64)
    return Drawn(labels, symmetric_inclusive(request.num_classes, rate))


def sequential(request: NoiseRequest, clean: np.ndarray) -> Drawn:
    """Labels that move by the map of CIFAR-10, one class after the other, each from what the others left.

    The matrix is that of the whole: P(label at the end | clean label).
    """
    rate = request.required("rate")
    labels, matrix = clean.copy(), np.eye(request.num_classes)
    for label, target in sorted(class_map(request.class_names).items()):
        members = np.flatnonzero(labels == label)
        order = permutation(request.seed, "elr class", len(members), label)
        labels[members[order[: math.ceil(rate * len(members))]]] = target
        moved = rate * matrix[:, label]
        matrix[:, label] -= moved
        matrix[:, target] += moved
    return Drawn(labels, matrix)


def next_in_block(request: NoiseRequest) -> np.ndarray:
    """(100, 100) float64: each label becomes the next of its block of five at the rate, the last the first."""
    rate = request.required("rate")
    matrix = np.eye(request.num_classes) * (1 - rate)
    classes = np.arange(request.num_classes)
    matrix[classes, classes // BLOCK * BLOCK + (classes + 1) % BLOCK] += rate
    return matrix


def asymmetric(
    request: NoiseRequest, clean: np.ndarray, blocks: Callable[[NoiseRequest], np.ndarray] = next_in_block
) -> Drawn:
    """`sequential` on CIFAR-10; on CIFAR-100 multinomial draws from the matrix of `blocks`."""
    if class_set(request.class_names) == "CIFAR-10":
        return sequential(request, clean)
    matrix = blocks(request)
    order = permutation(request.seed, "elr order", len(clean))
    labels = np.empty_like(clean)
    labels[order] = multinomial_labels(clean[order], matrix)
    return Drawn(labels, matrix)


CONVENTION = Convention(
    method="ELR",
    paper="Liu et al. 2020",
    code="github.com/shengliu66/ELR, data_loader/cifar10.py and cifar100.py",
    sets=("CIFAR-10", "CIFAR-100"),
    differs="the code holds out a tenth of each class and draws the noise of both parts apart, from a generator that "
    "it never seeds; here all training images are one part, drawn from --seed",
    types={
        "symmetric": published("symmetric noise", INCLUSIVE, symmetric),
        "asymmetric": published(
            "asymmetric noise",
            SEQUENTIAL + "on CIFAR-100 the probability that a label becomes the next of its block of five",
            asymmetric,
            classes=("CIFAR-10", "CIFAR-100"),
        ),
    },
)
