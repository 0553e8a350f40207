"""EfficientNet-Lite in NumPy, from its description: Tan and Le, ICML 2019, table 1, and the Lite variants of the
repository `tensorflow/tpu` (no squeeze-and-excite, ReLU6, stem and head not scaled).

It goes through the arrays of a state dict by their names in PyTorch's ports, loop by loop, in float64, channels first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

EPSILON = 1e-3
# (expansion, filters, repeats, stride, kernel) of Lite 0
BLOCKS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
REPEATS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1), 2: (1, 3, 3, 4, 4, 5, 1)}
FILTERS = {
    0: (16, 24, 40, 80, 112, 192, 320),
    1: (16, 24, 40, 80, 112, 192, 320),
    2: (16, 24, 48, 88, 120, 208, 352),
}
State = dict[str, np.ndarray]


def features(state: State, pixels: np.ndarray, variant: int = 0) -> np.ndarray:
    """(B, 1280) features of (B, H, W, 3) uint8 images."""
    x = (pixels.astype(np.float64).transpose(0, 3, 1, 2) - 127) / 128
    x = relu6(norm(convolved(x, state["_conv_stem.weight"], 2), state, "_bn0"))
    number = 0
    for (expansion, _, _, first_stride, _), repeats in zip(BLOCKS, REPEATS[variant], strict=True):
        for repeat in range(repeats):
            x = block(x, state, f"_blocks.{number}.", expansion, first_stride if repeat == 0 else 1)
            number += 1
    x = relu6(norm(convolved(x, state["_conv_head.weight"], 1), state, "_bn1"))
    return np.asarray(x.mean(axis=(2, 3)))


def block(x: np.ndarray, state: State, name: str, expansion: int, stride: int) -> np.ndarray:
    inputs = x
    if expansion > 1:
        x = relu6(norm(convolved(x, state[f"{name}_expand_conv.weight"], 1), state, f"{name}_bn0"))
    x = relu6(norm(convolved_alone(x, state[f"{name}_depthwise_conv.weight"], stride), state, f"{name}_bn1"))
    x = norm(convolved(x, state[f"{name}_project_conv.weight"], 1), state, f"{name}_bn2")
    return inputs + x if inputs.shape == x.shape else x


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """(B, C, H, W) by (F, C, k, k): each output pixel by the window around it."""
    return windows(x, kernel.shape[2], stride, lambda window: np.einsum("bcij,fcij->bf", window, kernel))


def convolved_alone(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """(B, C, H, W) by (C, 1, k, k): each channel by a kernel of its own."""
    return windows(x, kernel.shape[2], stride, lambda window: np.einsum("bcij,cij->bc", window, kernel[:, 0]))


def windows(x: np.ndarray, size: int, stride: int, compute: Any) -> np.ndarray:
    """TensorFlow's "same": ceil(length / stride) windows, the odd pixel of padding at the end."""
    height, width = x.shape[2:]
    pads = []
    for length in (height, width):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, ((0, 0), (0, 0), *pads))
    rows = [
        np.stack(
            [
                compute(padded[:, :, top : top + size, left : left + size])
                for left in range(0, -(-width // stride) * stride, stride)
            ],
            axis=-1,
        )
        for top in range(0, -(-height // stride) * stride, stride)
    ]
    return np.stack(rows, axis=2)


def norm(x: np.ndarray, state: State, name: str) -> np.ndarray:
    weight, bias, mean, variance = (
        state[f"{name}.{part}"].astype(np.float64)[:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return np.asarray((x - mean) / np.sqrt(variance + EPSILON) * weight + bias)


def relu6(x: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(x, 0), 6)


def made_up_state(variant: int = 0, seed: int = 0) -> State:
    """Random weights of the right names and shapes, which keep activations of the order of 1; a classifier too."""
    random = np.random.default_rng(seed)
    state: State = {}

    def kernel(name: str, *shape: int) -> None:
        fan_in = int(np.prod(shape[1:]))
        state[f"{name}.weight"] = random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)

    def normed(name: str, filters: int) -> None:
        state[f"{name}.weight"] = random.uniform(0.5, 1.5, filters).astype(np.float32)
        state[f"{name}.bias"] = random.normal(0, 0.3, filters).astype(np.float32)
        state[f"{name}.running_mean"] = random.normal(0, 0.3, filters).astype(np.float32)
        state[f"{name}.running_var"] = random.uniform(0.5, 1.5, filters).astype(np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(1, np.int64)

    kernel("_conv_stem", 32, 3, 3, 3)
    normed("_bn0", 32)
    channels, number = 32, 0
    parts = zip(BLOCKS, FILTERS[variant], REPEATS[variant], strict=True)
    for (expansion, _, _, _, size), filters, repeats in parts:
        for _ in range(repeats):
            name, wide = f"_blocks.{number}.", channels * expansion
            if expansion > 1:
                kernel(f"{name}_expand_conv", wide, channels, 1, 1)
                normed(f"{name}_bn0", wide)
            kernel(f"{name}_depthwise_conv", wide, 1, size, size)
            normed(f"{name}_bn1", wide)
            kernel(f"{name}_project_conv", filters, wide, 1, 1)
            normed(f"{name}_bn2", filters)
            channels, number = filters, number + 1
    kernel("_conv_head", 1280, channels, 1, 1)
    normed("_bn1", 1280)
    kernel("_fc", 1000, 1280)
    return state
