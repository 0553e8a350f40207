"""The classifiers. Adding one: a function `(input_shape, num_classes, rng, …) -> keras.Model`, and a line.

Networks are functional Keras models from (B, H, W, C) float32 images, or (B, D) features, to (B, K) logits. Their
initial weights and dropout seeds come from a NumPy generator, so they are the same in every engine and on every device.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from trainer.errors import TrainerError

IMAGES, FEATURES = "images", "features"
"""What a network takes; features are what another network has made of images."""


@dataclass(frozen=True)
class NetworkSpec:
    """A line of the registry: "module:function" and what it is called with.

    Attributes:
        paper: where it comes from: authors, title, venue.
        parameters: trainable numbers for 32x32x3 images, or 1,280 features, and 10 classes; kept here so that they can
            be shown without a framework.
        takes: IMAGES or FEATURES.
    """

    title: str
    paper: str
    parameters: int
    builder: str
    arguments: dict[str, Any] = field(default_factory=dict)
    takes: str = IMAGES


def _densenet(depth: int, parameters: int) -> NetworkSpec:
    return NetworkSpec(
        f"DenseNet of {depth} layers, growth rate 12, dropout 0.2, as in SELFIE",
        "Huang, Liu, van der Maaten, Weinberger: Densely Connected Convolutional Networks, CVPR 2017",
        parameters,
        "trainer.networks.densenet:densenet",
        {"depth": depth, "growth_rate": 12},
    )


def _resnet(depth: int, blocks: tuple[int, ...], parameters: int) -> NetworkSpec:
    return NetworkSpec(
        f"ResNet of {depth} layers with a stem for 32x32 images, as in ELR and CIFAR-N",
        "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016",
        parameters,
        "trainer.networks.resnet:resnet",
        {"blocks": blocks},
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
    "resnet-18": _resnet(18, (2, 2, 2, 2), 11_173_962),
    "resnet-34": _resnet(34, (3, 4, 6, 3), 21_282_122),
    "preact-resnet-18": NetworkSpec(
        "pre-activation ResNet of 18 layers with a stem for 32x32 images, as in DivideMix",
        "He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, ECCV 2016",
        11_171_274,
        "trainer.networks.resnet:preact_resnet",
        {"blocks": (2, 2, 2, 2)},
    ),
    "wide-resnet-28-10": NetworkSpec(
        "Wide ResNet of 28 layers, ten times as wide, without dropout",
        "Zagoruyko, Komodakis: Wide Residual Networks, BMVC 2016",
        36_479_194,
        "trainer.networks.resnet:wide_resnet",
        {"depth": 28, "width": 10},
    ),
    "cnn-9": NetworkSpec(
        "nine layers with leaky ReLU, dropout 0.25 of whole feature maps, as in Co-teaching",
        "Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama: Co-teaching: Robust Training of Deep Neural Networks with "
        "Extremely Noisy Labels, NIPS 2018",
        4_434_570,
        "trainer.networks.plain_cnn:cnn_9",
    ),
    "cnn-7": NetworkSpec(
        "seven layers, as in JoCoR",
        "Wei, Feng, Chen, An: Combating Noisy Labels by Agreement: A Joint Training Method with Co-Regularization, "
        "CVPR 2020",
        518_150,
        "trainer.networks.plain_cnn:cnn_7",
    ),
    "small-cnn": NetworkSpec(
        "three convolutions and a dense layer, batch norm; trains on a CPU",
        "none: this package's own",
        357_290,
        "trainer.networks.small_cnn:small_cnn",
    ),
    "linear": NetworkSpec(
        "a linear classifier, for features",
        "none: multinomial logistic regression",
        12_810,
        "trainer.networks.perceptron:linear",
        takes=FEATURES,
    ),
    "mlp": NetworkSpec(
        "a hidden layer of 256 units, for features; as JoCoR's for MNIST",
        "Wei, Feng, Chen, An: Combating Noisy Labels by Agreement, CVPR 2020",
        330_506,
        "trainer.networks.perceptron:mlp",
        takes=FEATURES,
    ),
}


DTYPE_POLICIES = {"float32": "float32", "tf32": "float32", "bfloat16": "mixed_bfloat16"}
"""What Keras calls the precisions that a network can compute in."""


def build_network(
    name: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    rng: np.random.Generator,
    precision: str = "float32",
) -> Any:
    """The network `name` as a keras.Model.

    Args:
        input_shape: (H, W, C), or (D,) for features. rng: gives initial weights and dropout seeds.
        precision: of DTYPE_POLICIES; what the network computes in.

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
