"""DenseNet-L-k for small images (Huang et al., CVPR 2017, without bottleneck), in the form SELFIE used.

Convolution 3x3 with 16 filters (no convolution has a bias); three dense blocks of (L - 4) / 3 layers, each layer batch
norm, ReLU, convolution 3x3 with k filters, dropout 0.2, joined to its input; after the first two blocks a transition:
batch norm, ReLU, convolution 1x1 of as many filters as it gets, ReLU, dropout 0.2, average pool 2x2; at the end batch
norm, ReLU, global average pool, dense.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.networks.layers import classifier, convolution, dropout, norm_relu, pointwise
from trainer.ops import Tensor

FIRST_FILTERS = 16
BLOCKS = 3
DROPOUT = 0.2


def densenet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    rng: np.random.Generator,
    depth: int,
    growth_rate: int,
) -> Any:
    """DenseNet-`depth`-`growth_rate`: (B, H, W, C) images to (B, K) logits."""
    layers_per_block, rest = divmod(depth - 4, BLOCKS)
    if rest:
        raise ValueError(f"depth {depth}: 3 n + 4 layers are needed")
    images = keras.Input(input_shape)
    x = convolution(images, FIRST_FILTERS, 3, rng)
    for block in range(BLOCKS):
        for _ in range(layers_per_block):
            new = dropout(convolution(norm_relu(x), growth_rate, 3, rng), DROPOUT, rng)
            x = keras.layers.Concatenate()([x, new])
        if block < BLOCKS - 1:
            x = _transition(x, rng)
    x = keras.layers.GlobalAveragePooling2D()(norm_relu(x))
    return keras.Model(images, classifier(x, num_classes, rng))


def _transition(x: Tensor, rng: np.random.Generator) -> Tensor:
    x = pointwise(norm_relu(x), x.shape[-1], rng)
    x = dropout(keras.layers.ReLU()(x), DROPOUT, rng)
    return keras.layers.AveragePooling2D(2)(x)
