"""RandAugment's operations on colours, as Pillow defines them for 8-bit images.

Every value is a whole number in float32, and every quotient is rounded down at half a unit of its divisor above the
exact one. So no result is near a whole number where engines that round differently would part.
"""

from __future__ import annotations

import numpy as np

from trainer import ops
from trainer.ops import Tensor

LEVELS = np.arange(256, dtype=np.float32)
LUMA = np.array([19595, 38470, 7471], np.float32)
"""Pillow's weights of red, green and blue (ITU-R 601-2), in 65536ths."""


def whole_quotient(values: Tensor, divisor: Tensor | float) -> Tensor:
    """Whole `values` by a whole `divisor`, rounded down."""
    return ops.floor((values + 0.5) / divisor)


def blend(degenerate: Tensor, images: Tensor, percent: Tensor) -> Tensor:
    """From `degenerate` at 0% through `images` at 100% to beyond: ImageEnhance's way of changing an image."""
    return ops.clip(whole_quotient(100.0 * degenerate + percent * (images - degenerate), 100.0), 0.0, 255.0)


def grey(images: Tensor) -> Tensor:
    """(B, H, W, C) to (B, H, W, 1): the luma of three channels, the mean of any other number."""
    channels = images.shape[-1]
    if channels != 3:
        return whole_quotient(2.0 * ops.sum(images, axis=-1, keepdims=True) + channels, 2.0 * channels)
    return ops.floor((ops.sum(images * LUMA, axis=-1, keepdims=True) + 32768.0) / 65536.0)


def mean_level(greys: Tensor) -> Tensor:
    """(B, H, W, 1) to (B, 1, 1, 1): the mean, rounded to a whole number."""
    pixels = greys.shape[1] * greys.shape[2]
    total = ops.sum(ops.cast(greys, "int32"), axis=(1, 2, 3), keepdims=True)
    return ops.cast(ops.floor_divide(2 * total + pixels, 2 * pixels), "float32")


def smooth(images: Tensor) -> Tensor:
    """Pillow's SMOOTH: the mean of each pixel, five times, and its eight neighbours; pixels at the border stay."""
    if min(images.shape[1:3]) < 3:
        return images
    nine = 9.0 * ops.average_pool(images, 3, strides=1, padding="valid", data_format="channels_last")
    inner = whole_quotient(nine + 4.0 * images[:, 1:-1, 1:-1] + 6.0, 13.0)
    rows = ops.concatenate([images[:, 1:-1, :1], inner, images[:, 1:-1, -1:]], axis=2)
    return ops.concatenate([images[:, :1], rows, images[:, -1:]], axis=1)


def level_places(images: Tensor) -> Tensor:
    """(B, H, W, C) int32: the place of each pixel's level in a table (B, C, 256) as one row."""
    batch, _, _, channels = ops.shape(images)
    first = ops.reshape(ops.arange(batch * channels, dtype="int32") * 256, (-1, 1, 1, channels))
    return first + ops.cast(images, "int32")


def count_below(places: Tensor) -> Tensor:
    """(B, C, 256) float32: how many pixels of a channel are darker than each level. places: those of `level_places`.

    Counts are integers, so that additions in any order give the same sum, and a GPU may do them at once.
    """
    batch, _, _, channels = ops.shape(places)
    places = ops.reshape(places, (-1,))
    counts = ops.segment_sum(ops.ones_like(places), places, num_segments=batch * channels * 256)
    counts = ops.reshape(counts, (-1, channels, 256))
    return ops.cast(ops.cumsum(counts, axis=-1) - counts, "float32")


def autocontrast_table(below: Tensor, pixels: int) -> Tensor:
    """(B, C, 256): what each level becomes where a channel's darkest one becomes 0, its brightest 255.

    Args:
        below: what `count_below` gives, of images of `pixels` pixels.
    """
    darkest = ops.sum(ops.cast(below == 0, "float32"), axis=-1, keepdims=True) - 1.0
    brightest = ops.sum(ops.cast(below < pixels, "float32"), axis=-1, keepdims=True) - 1.0
    spread = brightest - darkest
    stretched = whole_quotient(255.0 * (LEVELS - darkest), ops.maximum(spread, 1.0))
    return ops.where(spread > 0, ops.clip(stretched, 0.0, 255.0), LEVELS)


def equalize_table(below: Tensor, pixels: int) -> Tensor:
    """(B, C, 256): what each level becomes where a channel's levels are to come equally often.

    Args:
        below: what `count_below` gives, of images of `pixels` pixels.
    """
    below_brightest = ops.max(ops.where(below < pixels, below, 0.0), axis=-1, keepdims=True)
    step = whole_quotient(below_brightest, 255.0)
    spread = whole_quotient(ops.floor(step / 2.0) + below, ops.maximum(step, 1.0))
    return ops.where(step > 0, ops.clip(spread, 0.0, 255.0), LEVELS)
