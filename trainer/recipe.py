"""The learning rate of each epoch and step: schedules by name, and a linear warm-up.

A schedule gives a factor of the first learning rate for an epoch, counted from 0. Sources of their forms: SELFIE,
section 4.1 (step); Loshchilov and Hutter: "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017 (cosine,
warm restarts); the code of Co-teaching (linear).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np


class Recipe(Protocol):
    """The settings of `trainer.config.RunConfig` that a schedule reads."""

    @property
    def epochs(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def drop_epochs(self) -> tuple[int, ...]: ...
    @property
    def drop_factor(self) -> float: ...
    @property
    def decay_from(self) -> int: ...
    @property
    def restart_period(self) -> int: ...
    @property
    def final_learning_rate(self) -> float: ...
    @property
    def learning_rate_warm_up(self) -> int: ...


def _step(recipe: Recipe, epoch: int) -> float:
    """`drop_factor` at each of `drop_epochs`."""
    return recipe.learning_rate * recipe.drop_factor ** sum(epoch >= drop for drop in recipe.drop_epochs)


def _cosine(recipe: Recipe, epoch: int) -> float:
    """Half a cosine from the first to the final learning rate over all epochs."""
    return _half_cosine(recipe, epoch / recipe.epochs)


def _warm_restarts(recipe: Recipe, epoch: int) -> float:
    """Half a cosine over each period."""
    return _half_cosine(recipe, epoch % recipe.restart_period / recipe.restart_period)


def _linear(recipe: Recipe, epoch: int) -> float:
    """The first learning rate until `decay_from`, then straight down to 0 at the end."""
    if epoch < recipe.decay_from:
        return recipe.learning_rate
    return recipe.learning_rate * (recipe.epochs - epoch) / (recipe.epochs - recipe.decay_from)


def _constant(recipe: Recipe, epoch: int) -> float:
    """The first learning rate."""
    return recipe.learning_rate


def _half_cosine(recipe: Recipe, share: float) -> float:
    low, high = recipe.final_learning_rate, recipe.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES: dict[str, Callable[[Recipe, int], float]] = {
    "step": _step,
    "cosine": _cosine,
    "linear": _linear,
    "warm-restarts": _warm_restarts,
    "constant": _constant,
}
"""(recipe, epoch from 0) -> learning rate, by name."""


def learning_rate_at(recipe: Recipe, epoch: int) -> float:
    """The learning rate of an epoch, counted from 0, without warm-up."""
    return SCHEDULES[recipe.schedule](recipe, epoch)


def warm_up_factors(recipe: Recipe, first_step: int, steps: int) -> np.ndarray:
    """(steps,) share of the scheduled learning rate that each step of a run has, from its number `first_step` on.

    The first W = `learning_rate_warm_up` steps rise in a straight line: step s, from 0, has (s + 1) / W.
    """
    places = first_step + np.arange(steps)
    return np.minimum(1.0, (places + 1) / max(1, recipe.learning_rate_warm_up))
