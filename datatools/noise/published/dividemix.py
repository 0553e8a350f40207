"""DivideMix's noise (Li et al., ICLR 2020): github.com/LiJunnan1992/DivideMix, dataloader_cifar.py.

Of N images in a shuffled order the first int(rate N) are noisy. Symmetric: in the order of the files each of them draws
anew from all K classes. Asymmetric, on CIFAR-10 alone: each gets the label that a fixed map has for its own, which is
the same for five of ten classes.

All draws are of Python's `random`, which the code seeds with its option --seed, 123 by default, and does not use
before. So our seed is that one, and 123 gives the labels that the code writes by default. A --seed on its command line
reaches `random` as a text, which seeds otherwise than the number.
"""

from __future__ import annotations

import random

import numpy as np

from datatools.noise.asymmetric import asymmetric as asymmetric_matrix
from datatools.noise.asymmetric import class_map
from datatools.noise.base import Drawn, NoiseRequest
from datatools.noise.published.base import INCLUSIVE, Convention, order_notice, published
from datatools.noise.transition import symmetric_inclusive

SETS = ("CIFAR-10", "CIFAR-100")
DEFAULT_SEED = 123


def _noisy_ids(request: NoiseRequest, generator: random.Random) -> list[int]:
    """The images that are noisy, in the order of ids."""
    order = list(range(len(request.ids)))
    generator.shuffle(order)
    return sorted(order[: int(request.required("rate") * len(order))])


def _notices(request: NoiseRequest) -> tuple[str, ...]:
    notice = order_notice(request, SETS)
    if notice is None and request.parent.metadata.limit is not None:
        notice = f"{request.parent.path} is a part of its set: these are not the labels that it has in the whole set"
    return () if notice is None else (notice,)


def symmetric(request: NoiseRequest, clean: np.ndarray) -> Drawn:
    """Labels of a fixed number of images, drawn anew from all classes."""
    generator = random.Random(request.seed)
    labels = clean.copy()
    for number in _noisy_ids(request, generator):
        labels[number] = generator.randint(0, request.num_classes - 1)
    return Drawn(labels, symmetric_inclusive(request.num_classes, request.required("rate")), notices=_notices(request))


def asymmetric(request: NoiseRequest, clean: np.ndarray) -> Drawn:
    """Labels of a fixed number of images, moved by the map of CIFAR-10."""
    targets = np.arange(request.num_classes)
    for label, target in class_map(request.class_names).items():
        targets[label] = target
    noisy = _noisy_ids(request, random.Random(request.seed))
    labels = clean.copy()
    labels[noisy] = targets[clean[noisy]]
    return Drawn(labels, asymmetric_matrix(request.class_names, request.required("rate")), notices=_notices(request))


CONVENTION = Convention(
    method="DivideMix",
    paper="Li et al. 2020",
    code="github.com/LiJunnan1992/DivideMix, dataloader_cifar.py",
    sets=SETS,
    differs="--seed 123, the code's default, gives the labels that it writes; a --seed on its command line reaches it "
    "as a text and seeds otherwise",
    types={
        "symmetric": published("symmetric noise", INCLUSIVE, symmetric, default_seed=DEFAULT_SEED),
        "asymmetric": published(
            "asymmetric noise",
            "rate overall: the share of all images that the map is applied to; it moves five of ten classes, so the "
            "overall rate is lower",
            asymmetric,
            default_seed=DEFAULT_SEED,
            classes=("CIFAR-10",),
        ),
    },
)
