"""The image classifiers. Adding one: a function `(input_shape, num_classes, rng, …) -> keras.Model`, and a line.

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
    """A line of the registry: "module:function" and what it is called with.

    Attributes:
        paper: where it comes from: authors, title, venue.
        parameters: trainable numbers for 32x32x3 images and 10 classes; kept here so that they can be shown without a
            framework.
    """

    title: str
    paper: str
    parameters: int
    builder: str
    arguments: dict[str, Any] = field(default_factory=dict)


def _densenet(depth: int, parameters: int) -> NetworkSpec:
    return NetworkSpec(
        f"DenseNet of {depth} layers, growth rate 12, dropout 0.2, as in SELFIE",
        "Huang, Liu, van der Maaten, Weinberger: Densely Connected Convolutional Networks, CVPR 2017",
        parameters,
        "trainer.networks.densenet:densenet",
        {"depth": depth, "growth_rate": 12},
    )


NETWORKS: dict[str, NetworkSpec] = {
    "densenet-10-12": _densenet(10, 37_762),
    "densenet-25-12": _densenet(25, 362_242),
    "densenet-40-12": _densenet(40, 1_019_722),
    "vgg-19": NetworkSpec(
        "VGG of 19 layers with batch norm, dropout 0.5 in the dense ones, as in SELFIE",
        "Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015",
        38_975_306,
        "trainer.networks.vgg:vgg19",
    ),
    "small-cnn": NetworkSpec(
        "three convolutions and a dense layer, batch norm; trains on a CPU",
        "none: this package's own",
        357_290,
        "trainer.networks.small_cnn:small_cnn",
    ),
}


DTYPE_POLICIES = {"float32": "float32", "tf32": "float32", "bfloat16": "mixed_bfloat16"}
"""What Keras calls the precisions that a network can compute in."""


def build_network(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    rng: np.random.Generator,
    precision: str = "float32",
) -> Any:
    """The network `name` as a keras.Model.

    Args:
        input_shape: (H, W, C). rng: gives initial weights and dropout seeds. precision: of DTYPE_POLICIES; what the
            network computes in.

    Raises:
        TrainerError: no such network.
    """
    if name not in NETWORKS:
        raise TrainerError(f"network '{name}': not known; known are {', '.join(NETWORKS)}")
    spec = NETWORKS[name]
    module, function = spec.builder.split(":")
    builder = getattr(import_module(module), function)
    policies = import_module("keras").config
    before = policies.dtype_policy()
    policies.set_dtype_policy(DTYPE_POLICIES[precision])
    try:
        return builder(input_shape, num_classes, rng, **spec.arguments)
    finally:
        policies.set_dtype_policy(before)
