"""The image classifiers. Adding one: a function `(input_shape, num_classes, weights, …) -> keras.Model`, and a line.

Networks are functional Keras models from (B, H, W, C) float32 images to (B, K) logits. Their initial weights and
dropout seeds come from a NumPy generator, so they are the same in every engine and on every device.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from trainer.errors import TrainerError


@dataclass(frozen=True)
class NetworkSpec:
    """A line of the registry: "module:function" and what it is called with."""

    title: str
    builder: str
    arguments: dict[str, Any] = field(default_factory=dict)


def _densenet(depth: int) -> NetworkSpec:
    return NetworkSpec(
        f"DenseNet of {depth} layers, growth rate 12 (Huang et al., CVPR 2017), as in SELFIE",
        "trainer.networks.densenet:densenet",
        {"depth": depth, "growth_rate": 12},
    )


NETWORKS: dict[str, NetworkSpec] = {
    "densenet-10-12": _densenet(10),
    "densenet-25-12": _densenet(25),
    "densenet-40-12": _densenet(40),
    "vgg-19": NetworkSpec(
        "VGG-19 with batch norm (Simonyan & Zisserman, ICLR 2015), as in SELFIE", "trainer.networks.vgg:vgg19"
    ),
    "small-cnn": NetworkSpec("three convolutions; trains on a CPU", "trainer.networks.small_cnn:small_cnn"),
}


def build_network(name: str, input_shape: tuple[int, int, int], num_classes: int, weights: np.random.Generator) -> Any:
    """The network `name` as a keras.Model.

    Args:
        input_shape: (H, W, C). weights: gives initial weights and dropout seeds.

    Raises:
        TrainerError: no such network.
    """
    if name not in NETWORKS:
        raise TrainerError(f"network '{name}': not known; known are {', '.join(NETWORKS)}")
    spec = NETWORKS[name]
    module, function = spec.builder.split(":")
    return getattr(import_module(module), function)(input_shape, num_classes, weights, **spec.arguments)
