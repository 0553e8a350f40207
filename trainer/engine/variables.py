"""The variables of Keras' networks and optimizers: which are which, and under what names they are saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trainer.errors import TrainerError

Network = Any
"""A keras.Model from (B, H, W, C) standardised images to (B, K) logits."""
Optimizer = Any
"""A keras.optimizers.SGD."""
Variable = Any
"""A keras.Variable."""
SeedGenerator = Any
"""A keras.random.SeedGenerator, whose `state` is a Variable."""


def named_variables(
    networks: list[Network], optimizers: list[Optimizer], averages: list[Network]
) -> Iterator[tuple[str, Variable]]:
    """(name, variable) of all that training changes beside the memory: weights, statistics, seeds, velocities, ….

    The names depend on the order alone: Keras numbers its layers through a whole process, and names an optimizer's
    variables after them.
    """
    for kind, owners in (("network", networks), ("optimizer", optimizers), ("average", averages)):
        for number, owner in enumerate(owners):
            for place, variable in enumerate(owner.variables):
                ending = "" if kind == "optimizer" else f"-{variable.name}"
                yield f"{kind}_{number + 1}/{place:04d}{ending}", variable


def named_weights(networks: list[Network]) -> Iterator[tuple[str, Variable]]:
    """(name, variable) of what a network needs to classify: its weights and batch-norm statistics."""
    for number, network in enumerate(networks):
        for place, variable in enumerate(network.weights):
            yield f"network_{number + 1}/{place:04d}-{variable.name}", variable


def check_state(names: set[str], values: dict[str, np.ndarray]) -> None:
    """Raise TrainerError unless `values` has exactly the entries `names`."""
    if names != values.keys():
        odd = sorted(names ^ values.keys())
        raise TrainerError(f"checkpoint: its state is of another network or method (differs in {odd[0]}); start anew")


def moving_statistics(network: Network) -> list[Variable]:
    """The variables of a network that training changes without a gradient: batch norm's, not dropout's seeds."""
    seeds = {id(seed.state) for seed in dropout_seeds(network)}
    return [variable for variable in network.non_trainable_variables if id(variable) not in seeds]


def dropout_seeds(network: Network) -> list[SeedGenerator]:
    """The seed generators of a network's dropout layers, in order."""
    return [layer.seed_generator for layer in network.layers if hasattr(layer, "seed_generator")]
