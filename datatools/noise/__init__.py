"""The noise that `datatools corrupt` makes.

Adding a class-dependent noise: a function `(num_classes, rate) -> (K, K) float64` in transition.py, and a line in
NOISE_TYPES. A type that looks at more than that (class names, pixels, files): a module with a function
`draw(NoiseRequest) -> Drawn`, and a line.
"""

from __future__ import annotations

import numpy as np

from datatools.errors import DataToolsError
from datatools.noise import asymmetric, file, human, instance, matrix_file, open_set, transition
from datatools.noise.base import DRAWS_NOTHING, GIVEN, NoiseType, check_classes, check_rate, class_dependent

NOISE_TYPES: dict[str, NoiseType] = {
    "pair": class_dependent(
        "class i becomes class i + 1, the last the first",
        transition.pair,
        "rate per class: the share of each class's labels that change",
    ),
    "symmetric": class_dependent(
        "a label becomes one of the K - 1 others, each alike",
        transition.symmetric,
        "exclusive, rate per class: the share of each class's labels that change, never to the clean label",
    ),
    "symmetric-inclusive": class_dependent(
        "a label is drawn anew from all K classes, so R(1 - 1/K) change",
        transition.symmetric_inclusive,
        "inclusive, rate per class: the share of each class's labels that are drawn anew from all classes, the clean "
        "one among them; rate (1 - 1/K) of them change",
    ),
    "asymmetric": NoiseType(
        "look-alike classes of CIFAR-10, CIFAR-100 and MNIST", asymmetric.CONVENTION, asymmetric.draw
    ),
    "instance": NoiseType(
        "each image has wrong labels of its own, by its pixels",
        instance.CONVENTION,
        instance.draw,
        samplings=("bernoulli",),
    ),
    "matrix": NoiseType(
        "any transition matrix, from --matrix", matrix_file.CONVENTION, matrix_file.draw, needs=("matrix",)
    ),
    "human": NoiseType(
        "labels people gave, from --labels and --column",
        human.CONVENTION,
        human.draw,
        needs=("labels", "column"),
        samplings=(GIVEN,),
        no_seed=DRAWS_NOTHING,
    ),
    "file": NoiseType(
        "labels from a list of them, from --labels",
        file.CONVENTION,
        file.draw,
        needs=("labels",),
        samplings=(GIVEN,),
        no_seed=DRAWS_NOTHING,
    ),
    "open-set": NoiseType(
        "images of --donor replace a share, labels stay", open_set.CONVENTION, open_set.draw, needs=("rate", "donor")
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
    """(K, K) float64 transition matrix of the class-dependent noise `name` at `rate`.

    Raises:
        DataToolsError: the rate is not in [0, 1), there are fewer than two classes, or the type's matrix depends on
            more than these.
    """
    check_rate(rate)
    check_classes(num_classes)
    name, spec = noise_type(name)
    if spec.matrix is None:
        raise DataToolsError(f"noise type '{name}': its matrix depends on more than the number of classes and the rate")
    return spec.matrix(num_classes, rate)
