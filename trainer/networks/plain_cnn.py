"""The convolutional networks of Co-teaching (nine layers) and of JoCoR (seven), as their authors' codes build them.

**CNN-9** (Han et al., NIPS 2018): three convolutions 3x3 with 128 filters, max pool 2x2, dropout of whole feature maps
0.25; three with 256, the same; then three without padding with 512, 256 and 128 filters; global average pool, dense.
Each convolution has a bias, and batch norm and leaky ReLU 0.01 after it. Feature maps of fewer than 3 pixels, of images
under 28x28, are padded.

**CNN-7** (Wei et al., CVPR 2020): convolutions 3x3 in three pairs, 64 and 64, 128 and 128, 196 and 16 filters, each
with a bias, batch norm and ReLU, max pool 2x2 after each pair; dense. An odd side is padded before it is pooled.

Initial values are PyTorch's (`TorchUniform`).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.networks.layers import TorchUniform, batch_norm, classifier, norm_relu, padded_convolution

CNN_9_GROUPS = ((128, 128, 128), (256, 256, 256))
CNN_9_LAST = (512, 256, 128)
CNN_9_SLOPE, CNN_9_DROPOUT = 0.01, 0.25
CNN_7_GROUPS = ((64, 64), (128, 128), (196, 16))


def cnn_9(input_shape: tuple[int, int, int], num_classes: int, rng: np.random.Generator) -> Any:
    """Co-teaching's network: (B, H, W, C) images to (B, K) logits."""
    images = keras.Input(input_shape)
    x = images
    for group in CNN_9_GROUPS:
        for filters in group:
            x = _norm_leaky_relu(padded_convolution(x, filters, 3, rng, TorchUniform, bias=True))
        x = keras.layers.MaxPooling2D(2, padding="same")(x)
        x = keras.layers.SpatialDropout2D(CNN_9_DROPOUT, seed=int(rng.integers(2**31)))(x)
    for filters in CNN_9_LAST:
        padded = min(x.shape[1:3]) < 3
        x = _norm_leaky_relu(padded_convolution(x, filters, 3, rng, TorchUniform, bias=True, padded=padded))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, classifier(x, num_classes, rng, TorchUniform))


def cnn_7(input_shape: tuple[int, int, int], num_classes: int, rng: np.random.Generator) -> Any:
    """JoCoR's network: (B, H, W, C) images to (B, K) logits."""
    images = keras.Input(input_shape)
    x = images
    for group in CNN_7_GROUPS:
        for filters in group:
            x = norm_relu(padded_convolution(x, filters, 3, rng, TorchUniform, bias=True))
        x = keras.layers.MaxPooling2D(2, padding="same")(x)
    return keras.Model(images, classifier(keras.layers.Flatten()(x), num_classes, rng, TorchUniform))


def _norm_leaky_relu(x: Any) -> Any:
    return keras.layers.LeakyReLU(negative_slope=CNN_9_SLOPE)(batch_norm(x))
