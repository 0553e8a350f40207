"""What tests of networks count and look for in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

CIFAR = (32, 32, 3)
DENSENETS = {"densenet-10-12": 10, "densenet-25-12": 25, "densenet-40-12": 40}
OFFICIAL = (*DENSENETS, "vgg-19", "small-cnn")
"""Those whose initial values are SELFIE's official code's."""

Built = Callable[[str], Any]


def layers(network: Any, kind: str) -> list[Any]:
    return [layer for layer in network.layers if type(layer).__name__ == kind]


def trainable(network: Any) -> int:
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def not_trainable(network: Any) -> int:
    return sum(math.prod(variable.shape) for variable in network.non_trainable_variables if "seed" not in variable.path)


def convolution(size: int, inputs: int, filters: int, bias: bool = False) -> int:
    return size * size * inputs * filters + bias * filters


def dense(inputs: int, units: int) -> int:
    return inputs * units + units


def leading_to(layer: Any, count: int) -> list[Any]:
    """The `count` layers before this one, nearest first; of several inputs the last one's."""
    found = []
    for _ in range(count):
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        layer = inputs[-1]._keras_history.operation
        found.append(layer)
    return found


def kinds(chain: list[Any]) -> list[str]:
    return [type(layer).__name__ for layer in chain]
