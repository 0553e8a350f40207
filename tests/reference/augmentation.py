"""Augmentations by NumPy and Pillow, image by image, as their papers and torchvision describe them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

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


def operation(image: np.ndarray, name: str, direction: int) -> np.ndarray:
    """(H, W, 1 or 3) float32: one of RandAugment's operations as torchvision has Pillow do it, at magnitude 9 of 30."""
    picture = Image.fromarray(image.astype(np.uint8).squeeze(-1) if image.shape[-1] == 1 else image.astype(np.uint8))
    height, width = image.shape[:2]
    shear, factor = direction * 0.09, 1 + direction * 0.27
    right, down = direction * int(0.3 * 150 / 331 * width), direction * int(0.3 * 150 / 331 * height)

    def affine(*matrix: float) -> Image.Image:
        return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)

    operations: dict[str, Callable[[], Image.Image]] = {
        "identity": picture.copy,
        "shear-x": lambda: affine(1, shear, 0, 0, 1, 0),
        "shear-y": lambda: affine(1, 0, 0, shear, 1, 0),
        "translate-x": lambda: affine(1, 0, -right, 0, 1, 0),
        "translate-y": lambda: affine(1, 0, 0, 0, 1, -down),
        "rotate": lambda: picture.rotate(direction * 9, Image.Resampling.NEAREST),
        "brightness": lambda: ImageEnhance.Brightness(picture).enhance(factor),
        "color": lambda: ImageEnhance.Color(picture).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(picture).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(picture).enhance(factor),
        "posterize": lambda: ImageOps.posterize(picture, 7),
        "solarize": lambda: ImageOps.solarize(picture, 178.5),  # type: ignore[arg-type]
        "autocontrast": lambda: ImageOps.autocontrast(picture),
        "equalize": lambda: ImageOps.equalize(picture),
    }
    return np.asarray(operations[name]()).reshape(image.shape).astype(np.float32)
