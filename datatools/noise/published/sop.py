"""SOP's noise (Liu et al., ICML 2022): github.com/shengliu66/SOP, data_loader/cifar10.py and cifar100.py.

Symmetric noise, and asymmetric noise on CIFAR-10, are ELR's. Asymmetric on CIFAR-100 is another: in each block of five
consecutive labels two, drawn at random, are exchanged at the rate, so two fifths of the rate of all labels change.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from datatools.noise.base import NoiseRequest
from datatools.noise.published import elr
from datatools.noise.published.base import INCLUSIVE, Convention, published
from datatools.seeding import permutation


def two_of_block(request: NoiseRequest) -> np.ndarray:
    """(100, 100) float64: of each block of five labels two become each other with probability `rate`."""
    rate = request.required("rate")
    matrix = np.eye(request.num_classes)
    for block in range(request.num_classes // elr.BLOCK):
        one, other = block * elr.BLOCK + permutation(request.seed, "sop block", elr.BLOCK, block)[:2]
        matrix[[one, other], [one, other]] = 1 - rate
        matrix[[one, other], [other, one]] = rate
    return matrix


CONVENTION = Convention(
    method="SOP",
    paper="Liu et al. 2022",
    code="github.com/shengliu66/SOP, data_loader/cifar10.py and cifar100.py",
    sets=("CIFAR-10", "CIFAR-100"),
    differs="the code draws from a generator that it never seeds, here from --seed; its validation images are training "
    "images with noise drawn once more, which is not made here",
    types={
        "symmetric": published("symmetric noise", INCLUSIVE, elr.symmetric),
        "asymmetric": published(
            "asymmetric noise",
            elr.SEQUENTIAL + "on CIFAR-100 the probability that a label becomes its partner's, for two labels of five",
            partial(elr.asymmetric, blocks=two_of_block),
            classes=("CIFAR-10", "CIFAR-100"),
        ),
    },
)
