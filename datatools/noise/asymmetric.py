"""Asymmetric noise: classes that are taken for one another, by name.

The maps are those of the papers; which one applies is told by the class names and not by what a dataset is called.
"""

from __future__ import annotations

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.noise.base import Drawn, NoiseRequest, check_classes, draw_from_matrix

CONVENTION = (
    "rate per mapped class: the share of the labels of each class that the map moves; classes that it does not move "
    "keep theirs, so the overall rate is lower"
)
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_MAP = {
    "truck": "automobile",
    "bird": "airplane",
    "deer": "horse",
    "cat": "dog",
    "dog": "cat",
}
"""Patrini et al. 2017, section 5: five of ten classes move, so the overall rate of a balanced set is half the rate."""
MNIST_NAMES = tuple("0123456789")
MNIST_MAP = {"2": "7", "3": "8", "5": "6", "6": "5", "7": "1"}
"""Patrini et al. 2017, section 5."""
CIFAR100_SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
"""Krizhevsky 2009: the 20 superclasses of CIFAR-100 and the five fine classes of each."""


def class_map(class_names: tuple[str, ...]) -> dict[int, int]:
    """Which class is taken for which other: {class: class} of those that move, by the classes' names.

    CIFAR-100: the next class of the same superclass in the order of the fine labels, the last the first (Patrini et
    al. 2017, section 5).

    Raises:
        DataToolsError: no map is known for classes of these names.
    """
    number = {name: position for position, name in enumerate(class_names)}
    names = set(class_names)
    if names == set(CIFAR10_NAMES):
        return {number[name]: number[other] for name, other in CIFAR10_MAP.items()}
    if names == set(MNIST_NAMES):
        return {number[name]: number[other] for name, other in MNIST_MAP.items()}
    if names == {name for members in CIFAR100_SUPERCLASSES.values() for name in members}:
        rings = [sorted(number[name] for name in members) for members in CIFAR100_SUPERCLASSES.values()]
        return {ring[place]: ring[(place + 1) % len(ring)] for ring in rings for place in range(len(ring))}
    why = (
        "the superclasses have none above them" if names == set(CIFAR100_SUPERCLASSES) else "no other map is published"
    )
    raise DataToolsError(
        f"asymmetric noise knows the classes of CIFAR-10, CIFAR-100 (fine labels) and MNIST; these are "
        f"{listed(class_names)}, and {why}: give a transition matrix of your own with --type matrix --matrix FILE"
    )


def asymmetric(class_names: tuple[str, ...], rate: float) -> np.ndarray:
    """(K, K) float64 transition matrix: each class of the map moves to its target with probability `rate`.

    Raises:
        DataToolsError: as for `class_map`.
    """
    check_classes(len(class_names))
    matrix = np.eye(len(class_names))
    for clean, noisy in class_map(class_names).items():
        matrix[clean, clean] -= rate
        matrix[clean, noisy] += rate
    return matrix


def draw(request: NoiseRequest) -> Drawn:
    """Labels drawn from `asymmetric`."""
    return draw_from_matrix(request, asymmetric(request.class_names, request.required("rate")))
