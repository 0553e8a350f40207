"""What a line of the registry of published noise says: how one code draws each kind of noise that it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.noise.asymmetric import CIFAR10_NAMES, CIFAR100_SUPERCLASSES
from datatools.noise.base import PUBLISHED, Drawn, NoiseRequest, NoiseType, check_classes
from datatools.noise.sampling import check_seed

CIFAR100_NAMES = tuple(sorted(name for members in CIFAR100_SUPERCLASSES.values() for name in members))
"""The fine labels of CIFAR-100 in their official order, which is that of the alphabet."""
CLASSES = {"CIFAR-10": CIFAR10_NAMES, "CIFAR-100": CIFAR100_NAMES}
"""Sets whose classes a code knows by number, and the names that these numbers have."""
SET_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "mnist": "MNIST"}
"""Sources of `convert` whose ids are numbered in the order of the official files, as these codes read them."""
INCLUSIVE = (
    "inclusive, rate overall: the share of all labels that are drawn anew from all classes, the clean one among them; "
    "rate (1 - 1/K) of them change"
)


@dataclass(frozen=True)
class Convention:
    """How one published code draws its noise.

    Attributes:
        method: what its authors call the method, as in "symmetric 0.5 in DivideMix's words".
        paper, code: where the noise is from.
        sets: the image sets that the code reads.
        differs: in what the noise here is not the code's, a sentence; empty where it is the same.
        types: how it draws, by --type; it has no other.
    """

    method: str
    paper: str
    code: str
    sets: tuple[str, ...]
    differs: str
    types: dict[str, NoiseType]

    @property
    def title(self) -> str:
        """What it is, for the help."""
        types = "; ".join(f"{name}: {spec.convention.partition(':')[0]}" for name, spec in self.types.items())
        return f"{self.method}, {self.paper} (--type {types})" + (f", {self.differs}" if self.differs else "")


def published(
    title: str,
    convention: str,
    draw: Callable[[NoiseRequest, np.ndarray], Drawn],
    *,
    no_seed: str = "",
    default_seed: int = 0,
    classes: tuple[str, ...] = (),
) -> NoiseType:
    """The noise type of a published code.

    Args:
        draw: from the request and the (N,) clean labels in id order to noisy labels in id order.
        classes: the sets of CLASSES whose classes it needs; empty where any two or more will do.
    """

    def in_record_order(request: NoiseRequest) -> Drawn:
        check_classes(request.num_classes)
        check_seed(request.seed)
        if classes and class_set(request.class_names) not in classes:
            raise DataToolsError(
                f"{request.parent.path}: {request.num_classes} classes, {listed(request.class_names)}; the code knows "
                f"{title} for the classes of {' and '.join(classes)} alone, by their numbers: leave out --as, or give "
                "a matrix with --type matrix"
            )
        drawn = draw(request, request.clean_by_id)
        return Drawn(drawn.labels[request.ids], drawn.transition_matrix, drawn.facts, notices=drawn.notices)

    return NoiseType(
        title,
        convention,
        in_record_order,
        samplings=(PUBLISHED,),
        no_seed=no_seed,
        default_seed=default_seed,
    )


def class_set(class_names: tuple[str, ...]) -> str | None:
    """The set of CLASSES whose classes have these names in this order, or None."""
    return next((name for name, names in CLASSES.items() if names == class_names), None)


def order_notice(request: NoiseRequest, sets: tuple[str, ...]) -> str | None:
    """What to say where the samples are not those of an official set, in the order of its files; else None."""
    metadata = request.parent.metadata
    if metadata.label_set != "coarse" and SET_NAMES.get(str(metadata.source.get("name"))) in sets:
        return None
    return (
        f"the code reads {', '.join(sets)} in the order of their files; {request.parent.path} is none of these, and "
        "its images draw in the order of their ids"
    )
