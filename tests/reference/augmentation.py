"""Augmentations by NumPy and Pillow, image by image, as their papers and torchvision describe them."""

from __future__ import annotations

import numpy as np

PADDING = 4


def whole(number: np.float32, count: int) -> int:
    """Which of `count` equal parts of [0, 1) a number lies in."""
    return int(np.floor(float(number) * count))


def crop_flip(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(H, W, C): pad, crop, flip. numbers: (3,)."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    top, left = (whole(number, 2 * PADDING + 1) for number in numbers[:2])
    crop = padded[top : top + height, left : left + width]
    return crop[:, ::-1] if numbers[2] < 0.5 else crop


def cutout(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(H, W, C): `crop_flip`, and a hole with the mean of what is left. numbers: (5,)."""
    image = crop_flip(image, numbers).copy()
    height, width = image.shape[:2]
    side = min(height, width) // 2
    top, left = whole(numbers[3], height) - side // 2, whole(numbers[4], width) - side // 2
    hole = np.zeros((height, width), bool)
    hole[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = True
    image[hole] = image[~hole].mean(dtype=np.float64)
    return image
