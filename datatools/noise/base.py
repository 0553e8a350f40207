"""What a noise type is asked, what it answers, and what a line of the registry says about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from datatools.noise.sampling import SAMPLINGS, noisy_labels

GIVEN = "given"
"""The "sampling" of labels that are not drawn but read from a file."""
DRAWS_NOTHING = "draws nothing, its labels are given"
PUBLISHED = "published"
"""The "sampling" of labels that are drawn as an author's code draws them."""
OPTIONS = {"rate": "R", "matrix": "FILE", "labels": "FILE", "column": "NAME", "donor": "DIR"}
"""Options that some noise types need and the others refuse, and what stands for their values."""


@dataclass(frozen=True)
class NoiseRequest:
    """What `corrupt` asks of a noise type.

    Attributes:
        parent: the dataset to corrupt; its training images are there for types that look at pixels.
        ids, clean: (N,) int64 ids and labels of its training records, in record order.
        rate: in [0, 1), or None for a type that takes none.
        sampling: one of the type's `samplings`.
        matrix, labels, column, donor: the options of that name; None for a type that does not take them.
    """

    parent: Dataset
    ids: np.ndarray
    clean: np.ndarray
    rate: float | None
    seed: int
    sampling: str
    matrix: Path | None = None
    labels: Path | None = None
    column: str | None = None
    donor: Path | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.parent.metadata.class_names

    @property
    def num_classes(self) -> int:
        return self.parent.metadata.num_classes

    @property
    def clean_by_id(self) -> np.ndarray:
        """(N,) int64: the clean label of id i at i; ids are 0..N-1, each once."""
        by_id = np.empty_like(self.clean)
        by_id[self.ids] = self.clean
        return by_id

    def required(self, option: str) -> Any:
        """The value of an option that this type needs; `check_options` has seen to it that it is there."""
        value = getattr(self, option)
        if value is None:
            raise TypeError(f"a noise type draws with --{option} and does not list it in `needs`")
        return value


@dataclass(frozen=True)
class Drawn:
    """What a noise type answers.

    Attributes:
        labels: (N,) int64 noisy labels, in record order.
        transition_matrix: (K, K) float64, row-stochastic, or None where none is asked for.
        facts: what the "noise" section of dataset.json says beyond what every type's does.
        donor, replaced_by: the dataset that gives other images, and (N,) int64, in record order: the id of the
            training image of `donor` that stands in a record's place, -1 where its own stays.
        notices: what the user should know, a line each.
    """

    labels: np.ndarray
    transition_matrix: np.ndarray | None
    facts: dict[str, Any] = field(default_factory=dict)
    donor: Dataset | None = None
    replaced_by: np.ndarray | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoiseType:
    """A line of the registry.

    Attributes:
        title: what it does, for the help.
        convention: what its rate means, as dataset.json records it.
        draw: gives the noisy labels; a function of the request and of nothing else.
        needs: which of OPTIONS it needs; it refuses the others.
        samplings: how it can draw, the default first.
        no_seed: why it takes no seed, as the end of a sentence; empty where it takes one.
        default_seed: the seed where none is named.
        matrix: (number of classes K, noise rate) -> (K, K) transition matrix, for types that know no more; else None.
    """

    title: str
    convention: str
    draw: Callable[[NoiseRequest], Drawn]
    needs: tuple[str, ...] = ("rate",)
    samplings: tuple[str, ...] = SAMPLINGS
    no_seed: str = ""
    default_seed: int = 0
    matrix: Callable[[int, float], np.ndarray] | None = None

    @property
    def is_seeded(self) -> bool:
        return not self.no_seed


def class_dependent(title: str, matrix: Callable[[int, float], np.ndarray], convention: str) -> NoiseType:
    """The noise type of a transition matrix that is a function of the number of classes and the rate."""

    def draw(request: NoiseRequest) -> Drawn:
        check_classes(request.num_classes)
        return draw_from_matrix(request, matrix(request.num_classes, request.required("rate")))

    return NoiseType(title, convention, draw, matrix=matrix)


def draw_from_matrix(request: NoiseRequest, matrix: np.ndarray, **facts: Any) -> Drawn:
    """Labels drawn from a (K, K) transition matrix as the request says, see `noise.sampling`."""
    labels = noisy_labels(request.clean, request.ids, matrix, request.seed, request.sampling)
    return Drawn(labels, matrix, facts)


def check_rate(rate: float) -> None:
    """Raise DataToolsError unless the rate is in [0, 1)."""
    if not (math.isfinite(rate) and 0 <= rate < 1):
        raise DataToolsError(f"rate {rate:g}: a share in [0, 1) is expected, such as 0.2 for 20% wrong labels")


def check_classes(num_classes: int) -> None:
    """Raise DataToolsError unless there is a wrong label to give."""
    if num_classes < 2:
        raise DataToolsError("a dataset of one class has no wrong labels to give; at least two classes are needed")


def check_options(name: str, spec: NoiseType, options: dict[str, object], sampling: str | None, seed: object) -> None:
    """Raise DataToolsError unless exactly the options that a type needs are given, and a sampling it has.

    Args:
        name: what stands behind --type, for the error: "pair", or "pair --as elr".
        options: the value of each of OPTIONS, None where it is not given. sampling, seed: None for the default.
    """
    for option, value in options.items():
        if option in spec.needs and value is None:
            raise DataToolsError(f"--type {name} needs --{option} {OPTIONS[option]}")
        if option not in spec.needs and value is not None:
            takes = " and ".join(f"--{needed}" for needed in spec.needs)
            raise DataToolsError(f"--{option}: --type {name} takes {takes} and not --{option}; leave it out")
    if spec.samplings == (PUBLISHED,) and sampling is not None:
        raise DataToolsError(f"--sampling: --type {name} draws as the authors' code does; leave --sampling out")
    if not spec.is_seeded and (sampling is not None or seed is not None):
        option = "--seed" if sampling is None else "--sampling"
        raise DataToolsError(f"{option}: --type {name} {spec.no_seed}; leave {option} out")
    if sampling is not None and sampling not in SAMPLINGS:
        raise DataToolsError(f"sampling '{sampling}': not known; known are {', '.join(SAMPLINGS)}")
    if sampling is not None and sampling not in spec.samplings:
        raise DataToolsError(
            f"--sampling {sampling}: --type {name} has {', '.join(spec.samplings)} only, as each image has "
            "probabilities of its own and there are no counts of a class to be met"
        )
