"""A small convolutional network for a CPU: enough to learn digits and CIFAR, and to memorise wrong labels.

Three convolutions 3x3 (32, 64, 128 filters), each with batch norm, ReLU and max pool 2x2; dense 128 with batch norm,
ReLU and dropout 0.5; dense.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.networks.layers import GlorotUniform, classifier, convolution, dense, dropout, norm_relu

FILTERS = (32, 64, 128)
DENSE_UNITS = 128
DROPOUT = 0.5


def small_cnn(input_shape: tuple[int, int, int], num_classes: int, rng: np.random.Generator) -> Any:
    """Small CNN: (B, H, W, C) images to (B, K) logits."""
    images = keras.Input(input_shape)
    x = images
    for filters in FILTERS:
        x = norm_relu(convolution(x, filters, 3, rng))
        x = keras.layers.MaxPooling2D(2, padding="same")(x)
    x = norm_relu(dense(keras.layers.Flatten()(x), DENSE_UNITS, rng, GlorotUniform))
    x = dropout(x, DROPOUT, rng)
    return keras.Model(images, classifier(x, num_classes, rng, GlorotUniform))
