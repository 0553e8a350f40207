"""Residual networks for small images: ResNet, pre-activation ResNet and Wide ResNet, as the field's codes build them.

**ResNet-18, -34** (He, Zhang, Ren, Sun, CVPR 2016) with a stem for 32x32 images: convolution 3x3 with 64 filters, batch
norm, ReLU, no pooling; four stages of basic blocks of 64, 128, 256 and 512 filters, the last three of which begin with
a stride of 2; global average pool, dense. A block: convolution 3x3, batch norm, ReLU, convolution 3x3, batch norm,
added to its input, ReLU; where the shape changes, the input passes a convolution 1x1 and batch norm.

**PreAct ResNet-18** (He, Zhang, Ren, Sun, ECCV 2016) as DivideMix's code has it: the stem as above; a block: batch
norm, ReLU, convolution 3x3, batch norm, ReLU, convolution 3x3, added to its input; where the shape changes, what
follows the block's first ReLU passes a convolution 1x1 instead. No batch norm follows the last block.

**Wide ResNet-28-10** (Zagoruyko, Komodakis, BMVC 2016): convolution 3x3 with 16 filters; three stages of four
pre-activation blocks of 160, 320 and 640 filters, without dropout; batch norm, ReLU, global average pool, dense.

Where a stride is 2, images are padded by one pixel on each side, as PyTorch does. No convolution has a bias. Initial
values of the first two are PyTorch's (`TorchUniform`), which the authors' codes leave as they are.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.networks.layers import (
    Initial,
    TorchUniform,
    batch_norm,
    classifier,
    he_fan_out,
    norm_relu,
    padded_convolution,
)
from trainer.ops import Tensor

FILTERS = (64, 128, 256, 512)
WIDE_STEM = 16


def resnet(
    input_shape: tuple[int, int, int], num_classes: int, rng: np.random.Generator, blocks: tuple[int, ...]
) -> Any:
    """ResNet with so many `blocks` a stage: (B, H, W, C) images to (B, K) logits."""
    images = keras.Input(input_shape)
    x = norm_relu(padded_convolution(images, FILTERS[0], 3, rng, TorchUniform))
    for stage, (filters, count) in enumerate(zip(FILTERS, blocks, strict=True)):
        for block in range(count):
            x = _basic_block(x, filters, 2 if stage and not block else 1, rng)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, classifier(x, num_classes, rng, TorchUniform))


def preact_resnet(
    input_shape: tuple[int, int, int], num_classes: int, rng: np.random.Generator, blocks: tuple[int, ...]
) -> Any:
    """Pre-activation ResNet with so many `blocks` a stage: (B, H, W, C) images to (B, K) logits."""
    images = keras.Input(input_shape)
    x = norm_relu(padded_convolution(images, FILTERS[0], 3, rng, TorchUniform))
    for stage, (filters, count) in enumerate(zip(FILTERS, blocks, strict=True)):
        for block in range(count):
            x = _preact_block(x, filters, 2 if stage and not block else 1, rng, TorchUniform)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, classifier(x, num_classes, rng, TorchUniform))


def wide_resnet(
    input_shape: tuple[int, int, int], num_classes: int, rng: np.random.Generator, depth: int, width: int
) -> Any:
    """Wide ResNet-`depth`-`width`: (B, H, W, C) images to (B, K) logits."""
    blocks, rest = divmod(depth - 4, 6)
    if rest:
        raise ValueError(f"depth {depth}: 6 n + 4 layers are needed")
    images = keras.Input(input_shape)
    x = padded_convolution(images, WIDE_STEM, 3, rng, he_fan_out(WIDE_STEM, 3))
    for stage in range(3):
        filters = WIDE_STEM * width * 2**stage
        for block in range(blocks):
            x = _preact_block(x, filters, 2 if stage and not block else 1, rng)
    x = keras.layers.GlobalAveragePooling2D()(norm_relu(x))
    return keras.Model(images, classifier(x, num_classes, rng, TorchUniform))


def _basic_block(x: Tensor, filters: int, stride: int, rng: np.random.Generator) -> Tensor:
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = batch_norm(padded_convolution(x, filters, 1, rng, TorchUniform, stride))
    x = norm_relu(padded_convolution(x, filters, 3, rng, TorchUniform, stride))
    x = batch_norm(padded_convolution(x, filters, 3, rng, TorchUniform))
    return keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))


def _preact_block(
    x: Tensor, filters: int, stride: int, rng: np.random.Generator, initial: Initial | None = None
) -> Tensor:
    """`initial`: of all kernels; He's for the outputs where there is none (Zagoruyko's code)."""
    shortcut = x
    active = norm_relu(x)
    if stride > 1 or x.shape[-1] != filters:
        shortcut = padded_convolution(active, filters, 1, rng, initial or he_fan_out(filters, 1), stride)
    x = norm_relu(padded_convolution(active, filters, 3, rng, initial or he_fan_out(filters, 3), stride))
    x = padded_convolution(x, filters, 3, rng, initial or he_fan_out(filters, 3))
    return keras.layers.Add()([x, shortcut])
