"""RandAugment with torchvision's defaults: two of fourteen operations, magnitude 9 of 0 to 30.

Cubuk, Zoph, Shlens, Le: RandAugment, NeurIPS 2020; the operations, their ranges and their order are those of
torchvision's `RandAugment(num_ops=2, magnitude=9, num_magnitude_bins=31)`, nearest neighbour and black where there is
no image. Operations are Pillow's on 8-bit images, and give the same levels in every engine.

Each image has one operation at a time. So its geometry is a matrix, the identity for the other operations; its
brightness, contrast, colour or sharpness one blend; and what maps levels to levels is one table for each channel.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from trainer import ops
from trainer.augmentation import colours
from trainer.augmentation.base import Augmentation, pick, whole_number
from trainer.augmentation.crop_flip import CROP_FLIP, crop_flip
from trainer.ops import Tensor

OPERATIONS = (
    *("identity", "shear-x", "shear-y", "translate-x", "translate-y", "rotate", "brightness", "color", "contrast"),
    *("sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
NUM_OPERATIONS = 2
MAGNITUDE, MAXIMUM = 9, 30
SHEAR = 0.3 * MAGNITUDE / MAXIMUM
"""Pixels a pixel."""
TRANSLATION = 150 / 331 * MAGNITUDE / MAXIMUM
"""Of width or height; rounded down to whole pixels."""
DEGREES = 30 * MAGNITUDE / MAXIMUM
PERCENT = 90 * MAGNITUDE // MAXIMUM
"""By which brightness, colour, contrast and sharpness are above or below 100%."""
POSTERIZE_BITS = 8 - round(4 * MAGNITUDE / MAXIMUM)
SOLARIZE_FROM = 255 * (1 - MAGNITUDE / MAXIMUM)
"""This level and brighter ones are inverted."""
CHOICES = tuple((name, direction) for name in OPERATIONS for direction in (1, -1))
"""Of which a number chooses one; where an operation has no direction, both are the same."""
ENHANCING = frozenset({"brightness", "color", "contrast", "sharpness"})
LEVEL_MAPS = {
    "posterize": colours.LEVELS - colours.LEVELS % 2 ** (8 - POSTERIZE_BITS),
    "solarize": np.where(colours.LEVELS < SOLARIZE_FROM, colours.LEVELS, 255 - colours.LEVELS),
}
"""What each level becomes."""
FIXED_POINT = 1 << 16
"""Coordinates are integers in 65536ths of a pixel, as in Pillow: engines would round fractions differently."""


def randaugment(images: Tensor, numbers: Tensor) -> Tensor:
    """`crop_flip`, then two operations, each drawn from all fourteen.

    Args:
        images: (B, H, W, C) float32 whole numbers; fractions are lost. numbers: (B, 5): those of `crop_flip`; then one
            for each operation, which chooses it and its direction: of 28 equal parts of [0, 1), two consecutive ones
            belong to each operation.
    """
    images = ops.floor(crop_flip(images, numbers[:, : CROP_FLIP.numbers]))
    for number in range(CROP_FLIP.numbers, RANDAUGMENT.numbers):
        choice = whole_number(numbers[:, number], len(CHOICES))
        images = _mapped(_enhanced(_moved(images, choice), choice), choice)
    return images


RANDAUGMENT = Augmentation(
    "randaugment",
    "crop-flip, and two of fourteen operations on geometry and colours",
    "Cubuk, Zoph, Shlens, Le: RandAugment, NeurIPS 2020, with torchvision's defaults",
    CROP_FLIP.numbers + NUM_OPERATIONS,
    randaugment,
)


def _moved(images: Tensor, choice: Tensor) -> Tensor:
    """Sheared, translated or rotated."""
    height, width = images.shape[1:3]
    x, y = np.arange(width, dtype=np.int32), np.arange(height, dtype=np.int32)[:, None]
    matrices = ops.take(_matrices(height, width), choice, axis=0)
    a, b, c, d, e, f = (matrices[:, number, None, None] for number in range(6))
    rows = ops.floor_divide(d * x + e * y + f, FIXED_POINT)
    return pick(images, rows, ops.floor_divide(a * x + b * y + c, FIXED_POINT))


def _enhanced(images: Tensor, choice: Tensor) -> Tensor:
    """Brighter, more colourful, of more contrast or sharper, or less so."""
    operations = ENHANCING if images.shape[-1] == 3 else ENHANCING - {"color"}
    percents = [100 + direction * PERCENT if name in operations else 100 for name, direction in CHOICES]
    greys = colours.grey(images)
    degenerate = ops.where(_chosen("color", choice), greys, colours.smooth(images))
    degenerate = ops.where(_chosen("contrast", choice), colours.mean_level(greys), degenerate)
    degenerate = ops.where(_chosen("brightness", choice), 0.0, degenerate)
    percent = ops.take(np.array(percents, np.float32), choice, axis=0)
    return colours.blend(degenerate, images, percent[:, None, None, None])


def _mapped(images: Tensor, choice: Tensor) -> Tensor:
    """Posterized, solarized, or with a channel's levels spread."""
    pixels = images.shape[1] * images.shape[2]
    places = colours.level_places(images)
    below = colours.count_below(places)
    fixed = np.stack([LEVEL_MAPS.get(name, colours.LEVELS) for name, _ in CHOICES])
    tables = ops.take(fixed, choice, axis=0)[:, None, :]
    tables = ops.where(_chosen("autocontrast", choice)[:, 0], colours.autocontrast_table(below, pixels), tables)
    tables = ops.where(_chosen("equalize", choice)[:, 0], colours.equalize_table(below, pixels), tables)
    return ops.take(ops.reshape(tables, (-1,)), places, axis=0)


def _chosen(operation: str, choice: Tensor) -> Tensor:
    """(B, 1, 1, 1) bool: the images that have the operation."""
    first = 2 * OPERATIONS.index(operation)
    return ops.logical_or(choice == first, choice == first + 1)[:, None, None, None]


@cache
def _matrices(height: int, width: int) -> np.ndarray:
    """(28, 6) int32, for each of CHOICES: a pixel (x, y) comes from (a x + b y + c, d x + e y + f) / FIXED_POINT.

    Rounding is Pillow's: the matrix maps the centre of the pixel to a point, which lies in the pixel it comes from.
    """
    centre = np.array([0.5, 0.5])
    rows = []
    for name, direction in CHOICES:
        matrix, offset = _map(name, direction, height, width)
        affine = np.column_stack([matrix, offset + matrix @ centre])
        rows.append(np.floor(affine * FIXED_POINT + 0.5).astype(np.int32).ravel())
    return np.stack(rows)


def _map(name: str, direction: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (2, 2) and offset (2,) by which a point (x, y) of the result comes from one of the image, in pixels."""
    matrix, offset = np.eye(2), np.zeros(2)
    match name:
        case "shear-x":
            matrix[0, 1] = direction * SHEAR
        case "shear-y":
            matrix[1, 0] = direction * SHEAR
        case "translate-x":
            offset[0] = -direction * int(TRANSLATION * width)
        case "translate-y":
            offset[1] = -direction * int(TRANSLATION * height)
        case "rotate":
            angle = -direction * math.radians(DEGREES)
            matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
            centre = np.array([width / 2, height / 2])
            offset = centre - matrix @ centre
    return matrix, offset
