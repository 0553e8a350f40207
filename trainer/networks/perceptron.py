"""A linear classifier and a small multi-layer perceptron, for features that another network has computed.

Inputs of any shape are flattened. The perceptron has one hidden layer of 256 units and ReLU, as JoCoR's for MNIST has
(Wei et al., CVPR 2020). Initial values are PyTorch's (`TorchUniform`).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.networks.layers import TorchUniform, classifier, dense

HIDDEN_UNITS = 256


def linear(input_shape: tuple[int, ...], num_classes: int, rng: np.random.Generator) -> Any:
    """One dense layer: (B, …) inputs to (B, K) logits."""
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, classifier(keras.layers.Flatten()(inputs), num_classes, rng, TorchUniform))


def mlp(input_shape: tuple[int, ...], num_classes: int, rng: np.random.Generator) -> Any:
    """A hidden layer and a dense one: (B, …) inputs to (B, K) logits."""
    inputs = keras.Input(input_shape)
    x = keras.layers.ReLU()(dense(keras.layers.Flatten()(inputs), HIDDEN_UNITS, rng, TorchUniform))
    return keras.Model(inputs, classifier(x, num_classes, rng, TorchUniform))
