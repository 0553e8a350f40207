"""What the networks share: initial values from a NumPy generator, and the layers of the official code."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.methods.base import Tensor

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5


class Normal(keras.initializers.Initializer):
    """Normal numbers of mean 0 and a given standard deviation."""

    def __init__(self, weights: np.random.Generator, stddev: float) -> None:
        self.weights, self.stddev = weights, stddev

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        return keras.ops.convert_to_tensor(self.weights.normal(0.0, self.stddev, shape), dtype=dtype)


class GlorotUniform(keras.initializers.Initializer):
    """Uniform in ±sqrt(6 / (inputs + outputs)), for dense layers (Glorot & Bengio 2010)."""

    def __init__(self, weights: np.random.Generator) -> None:
        self.weights = weights

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        limit = np.sqrt(6 / sum(shape))
        return keras.ops.convert_to_tensor(self.weights.uniform(-limit, limit, shape), dtype=dtype)


def convolution(x: Tensor, filters: int, size: int, weights: np.random.Generator, bias: bool = False) -> Tensor:
    """Convolution, same padding; kernel normal with standard deviation sqrt(2 / (9 filters))."""
    kernel = Normal(weights, float(np.sqrt(2 / (9 * filters))))
    return keras.layers.Conv2D(filters, size, padding="same", use_bias=bias, kernel_initializer=kernel)(x)


def dense(x: Tensor, units: int, weights: np.random.Generator) -> Tensor:
    """Dense layer with bias."""
    return keras.layers.Dense(units, kernel_initializer=GlorotUniform(weights))(x)


def classifier(x: Tensor, num_classes: int, weights: np.random.Generator) -> Tensor:
    """Dense layer to the logits; in float32 whatever the rest computes in, since losses and choices hang on them."""
    return keras.layers.Dense(num_classes, kernel_initializer=GlorotUniform(weights), dtype="float32")(x)


def norm_relu(x: Tensor) -> Tensor:
    """Batch norm, then ReLU."""
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON)(x)
    return keras.layers.ReLU()(x)


def dropout(x: Tensor, rate: float, weights: np.random.Generator) -> Tensor:
    """Dropout with a seed of its own."""
    return keras.layers.Dropout(rate, seed=int(weights.integers(2**31)))(x)
