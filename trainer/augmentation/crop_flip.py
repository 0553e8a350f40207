"""Random crops and flips, and Cutout."""

from __future__ import annotations

import numpy as np

from trainer import ops
from trainer.augmentation.base import Augmentation, pick, whole_number
from trainer.ops import Tensor

PADDING = 4
"""Black pixels on each side, of which a crop can show some."""


def crop_flip(images: Tensor, numbers: Tensor) -> Tensor:
    """A crop of the size of the image out of the padded image, flipped left to right with probability 1/2.

    torchvision's `RandomCrop(size, padding=4)` and `RandomHorizontalFlip()`.

    Args:
        images: (B, H, W, C) float32. numbers: (B, 3): row and column of the crop, and below 1/2 for a flip.
    """
    height, width = images.shape[1:3]
    top = whole_number(numbers[:, 0], 2 * PADDING + 1) - PADDING
    left = whole_number(numbers[:, 1], 2 * PADDING + 1) - PADDING
    rows, columns = np.arange(height, dtype=np.int32), np.arange(width, dtype=np.int32)
    columns = ops.where(numbers[:, 2:3] < 0.5, columns[::-1][None], columns[None])
    return pick(images, (top[:, None] + rows)[:, :, None], (left[:, None] + columns)[:, None, :])


CROP_FLIP = Augmentation(
    "crop-flip",
    "random crop out of 4 pixels of black padding, and random horizontal flip",
    "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2",
    3,
    crop_flip,
)


def cutout(images: Tensor, numbers: Tensor) -> Tensor:
    """`crop_flip`, then a square hole; its side is half the image's shorter side, its centre any pixel of the image.

    The part of the hole that is in the image takes the mean of all other numbers of the image. So the image has that
    mean too, and the hole is 0 once the image is standardised, as in the paper.

    Args:
        images: (B, H, W, C) float32. numbers: (B, 5): those of `crop_flip`, row and column of the hole's centre.
    """
    images = crop_flip(images, numbers[:, : CROP_FLIP.numbers])
    height, width, channels = images.shape[1:]
    side = min(height, width) // 2
    in_rows = _covered(numbers[:, CROP_FLIP.numbers], height, side)
    in_columns = _covered(numbers[:, CROP_FLIP.numbers + 1], width, side)
    hole = (in_rows[:, :, None] & in_columns[:, None, :])[..., None]
    visible = ops.cast(ops.logical_not(hole), "float32")
    count = ops.sum(visible, axis=(1, 2, 3), keepdims=True) * channels
    mean = ops.sum(images * visible, axis=(1, 2, 3), keepdims=True) / count
    return ops.where(hole, mean, images)


CUTOUT = Augmentation(
    "cutout",
    "crop-flip, and a square hole of half the image's side",
    "DeVries, Taylor: Improved Regularization of Convolutional Neural Networks with Cutout, arXiv 2017",
    CROP_FLIP.numbers + 2,
    cutout,
)


def _covered(numbers: Tensor, length: int, side: int) -> Tensor:
    """(B, length) bool: which rows, or columns, a hole covers whose centre is chosen by `numbers` (B,)."""
    start = whole_number(numbers, length)[:, None] - side // 2
    places = np.arange(length, dtype=np.int32)[None]
    return (places >= start) & (places < start + side)
