"""VGG-19 with batch norm (Simonyan & Zisserman, ICLR 2015), in the form SELFIE used.

Sixteen convolutions 3x3 in five groups, each with batch norm and ReLU, max pool 2x2 after each group; two dense
layers of 4,096 with batch norm, ReLU and dropout 0.5; dense.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.networks.layers import classifier, convolution, dense, dropout, norm_relu

GROUPS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Filters and number of convolutions of each group."""
DENSE_UNITS = 4096
DROPOUT = 0.5


def vgg19(input_shape: tuple[int, int, int], num_classes: int, rng: np.random.Generator) -> Any:
    """VGG-19: (B, H, W, C) images to (B, K) logits. "Same" pooling, so images under 32x32 pass too."""
    images = keras.Input(input_shape)
    x = images
    for filters, convolutions in GROUPS:
        for _ in range(convolutions):
            x = norm_relu(convolution(x, filters, 3, rng, bias=True))
        x = keras.layers.MaxPooling2D(2, padding="same")(x)
    x = keras.layers.Flatten()(x)
    for _ in range(2):
        x = dropout(norm_relu(dense(x, DENSE_UNITS, rng)), DROPOUT, rng)
    return keras.Model(images, classifier(x, num_classes, rng))
