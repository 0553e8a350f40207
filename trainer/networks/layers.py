"""What the networks share: initial values from a NumPy generator, and the layers of the official code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
from scipy.special import ndtr, ndtri  # type: ignore[import-untyped]

from trainer.ops import Tensor

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5
CUT = 2.0
"""Standard deviations at which `HeNormal` cuts its normal numbers, as the official code's initializer does."""
STDDEV_AFTER_CUT = 0.87962566103423978
"""Standard deviation of a standard normal number that is cut at CUT."""


class Normal(keras.initializers.Initializer):
    """Normal numbers of mean 0 and a given standard deviation."""

    def __init__(self, rng: np.random.Generator, stddev: float) -> None:
        self.rng, self.stddev = rng, stddev

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        return keras.ops.convert_to_tensor(self.rng.normal(0.0, self.stddev, shape), dtype=dtype)


class HeNormal(keras.initializers.Initializer):
    """Normal numbers of mean 0, standard deviation sqrt(2 / fan-in), cut at two standard deviations (He et al. 2015).

    What the official code starts its 1x1 convolutions and dense layers from. Fan-in is the product of all axes but the
    last: (height, width, inputs, filters) or (inputs, units).
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        stddev = np.sqrt(2 / np.prod(shape[:-1])) / STDDEV_AFTER_CUT
        values = stddev * ndtri(self.rng.uniform(ndtr(-CUT), ndtr(CUT), shape))
        return keras.ops.convert_to_tensor(values, dtype=dtype)


class GlorotUniform(keras.initializers.Initializer):
    """Uniform in ±sqrt(6 / (inputs + outputs)), for dense layers (Glorot & Bengio 2010)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        limit = np.sqrt(6 / sum(shape))
        return keras.ops.convert_to_tensor(self.rng.uniform(-limit, limit, shape), dtype=dtype)


class TorchUniform(keras.initializers.Initializer):
    """Uniform in ±1 / sqrt(fan-in), PyTorch's default for kernels and for biases.

    Args:
        fan_in: inputs of a unit, which the shape of a bias does not tell; None for a kernel.
    """

    def __init__(self, rng: np.random.Generator, fan_in: int | None = None) -> None:
        self.rng, self.fan_in = rng, fan_in

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        limit = 1 / np.sqrt(self.fan_in or np.prod(shape[:-1]))
        return keras.ops.convert_to_tensor(self.rng.uniform(-limit, limit, shape), dtype=dtype)


Initial = Callable[[np.random.Generator], keras.initializers.Initializer]
"""Makes an initializer that draws from a generator."""


def he_fan_out(filters: int, size: int) -> Initial:
    """Normal numbers of standard deviation sqrt(2 / fan-out), for a convolution of `size` x `size` (He et al. 2015)."""
    return lambda rng: Normal(rng, float(np.sqrt(2 / (size * size * filters))))


_visible: ContextVar[Tensor | None] = ContextVar("visible", default=None)


@contextmanager
def batch_norm_over(samples: Tensor) -> Iterator[None]:
    """Let batch norm in training mode take its statistics, the moving ones too, from a part of the mini-batch alone.

    All samples are normalised by these. The official SELFIE code trains on a part of each mini-batch, so its batch norm
    sees no other; a compiled step keeps its shape, and masks. It holds for what is called, or traced, in the block.

    Args:
        samples: (B,) bool, at least one True.
    """
    token = _visible.set(samples)
    try:
        yield
    finally:
        _visible.reset(token)


class BatchNorm(keras.layers.BatchNormalization):
    """Batch norm that heeds `batch_norm_over`."""

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        samples = _visible.get()
        if samples is not None:
            places = keras.ops.shape(inputs)[:-1]
            column = keras.ops.reshape(samples, (-1, *(1 for _ in places[1:])))
            mask = keras.ops.broadcast_to(column, places)
        return super().call(inputs, training=training, mask=mask)


def convolution(x: Tensor, filters: int, size: int, rng: np.random.Generator, bias: bool = False) -> Tensor:
    """Convolution, same padding; kernel normal with standard deviation sqrt(2 / (9 filters)), for a `size` of 3."""
    kernel = Normal(rng, float(np.sqrt(2 / (9 * filters))))
    return keras.layers.Conv2D(filters, size, padding="same", use_bias=bias, kernel_initializer=kernel)(x)


def pointwise(x: Tensor, filters: int, rng: np.random.Generator) -> Tensor:
    """Convolution 1x1 without bias; kernel `HeNormal`."""
    return keras.layers.Conv2D(filters, 1, padding="same", use_bias=False, kernel_initializer=HeNormal(rng))(x)


def padded_convolution(
    x: Tensor,
    filters: int,
    size: int,
    rng: np.random.Generator,
    initial: Initial,
    stride: int = 1,
    *,
    bias: bool = False,
    padded: bool = True,
) -> Tensor:
    """Convolution with (size - 1) / 2 pixels of padding on each side, whatever the stride, as in PyTorch.

    Args:
        bias: whether it has one, which starts as PyTorch's. padded: False for no padding.
    """
    if padded and size > 1 and stride > 1:
        # Keras' "same" would pad an even side at its end alone
        x, padding = keras.layers.ZeroPadding2D(size // 2)(x), "valid"
    else:
        padding = "same" if padded else "valid"
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        use_bias=bias,
        kernel_initializer=initial(rng),
        bias_initializer=TorchUniform(rng, size * size * x.shape[-1]) if bias else "zeros",
    )(x)


def dense(x: Tensor, units: int, rng: np.random.Generator, initial: Initial = HeNormal) -> Tensor:
    """Dense layer with a bias, which starts at 0, or as PyTorch's where the kernel does."""
    return keras.layers.Dense(units, **_dense_initializers(x, rng, initial))(x)


def classifier(x: Tensor, num_classes: int, rng: np.random.Generator, initial: Initial = HeNormal) -> Tensor:
    """Dense layer to the logits; in float32 whatever the rest computes in, since losses and choices depend on them."""
    return keras.layers.Dense(num_classes, **_dense_initializers(x, rng, initial), dtype="float32")(x)


def _dense_initializers(x: Tensor, rng: np.random.Generator, initial: Initial) -> dict[str, Any]:
    bias = TorchUniform(rng, x.shape[-1]) if initial is TorchUniform else "zeros"
    return {"kernel_initializer": initial(rng), "bias_initializer": bias}


def batch_norm(x: Tensor) -> Tensor:
    """Batch norm with the momentum and epsilon of all networks; PyTorch's defaults are the same."""
    return BatchNorm(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON)(x)


def norm_relu(x: Tensor) -> Tensor:
    """Batch norm, then ReLU."""
    return keras.layers.ReLU()(batch_norm(x))


def dropout(x: Tensor, rate: float, rng: np.random.Generator) -> Tensor:
    """Dropout with a seed of its own."""
    return keras.layers.Dropout(rate, seed=int(rng.integers(2**31)))(x)
