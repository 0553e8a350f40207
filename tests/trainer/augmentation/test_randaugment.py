"""RandAugment's operations, one by one and in a row, held to Pillow's."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.reference import augmentation as reference
from tests.support.augmented import numbers_for, photographs
from trainer.augmentation import AUGMENTATIONS
from trainer.augmentation.randaugment import CHOICES, OPERATIONS

CENTRED = [4.5 / 9, 4.5 / 9, 0.75]
"""Numbers of a crop that shows the image itself, not flipped."""
SHAPES = [(24, 32, 32, 3), (12, 28, 28, 1), (12, 8, 8, 1), (8, 64, 64, 3), (8, 9, 14, 3), (4, 2, 2, 3), (2, 1, 1, 1)]
ROUNDED = {"brightness", "color", "contrast", "sharpness", "autocontrast"}
"""Pillow computes these in floating point and rounds down, which turns some whole numbers into the level below."""


def number_of(name: str, direction: int = 1) -> float:
    return (CHOICES.index((name, direction)) + 0.5) / len(CHOICES)


def augmented(images: np.ndarray, first: float, second: float = 0.0) -> np.ndarray:
    """The images after two operations, neither cropped nor flipped."""
    numbers = np.tile(np.array([*CENTRED, first, second], np.float32), (len(images), 1))
    return np.asarray(AUGMENTATIONS["randaugment"].apply(images, numbers))


@cache
def every_choice(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images (B, H, W, C), and (28, B, H, W, C) what each of CHOICES makes of them."""
    images = photographs(shape, seed=3)
    numbers = [[*CENTRED, number_of(*choice), 0.0] for choice in CHOICES for _ in images]
    tiled = np.tile(images, (len(CHOICES), 1, 1, 1))
    results = np.asarray(AUGMENTATIONS["randaugment"].apply(tiled, np.array(numbers, np.float32)))
    return images, results.reshape(len(CHOICES), *shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "direction"), CHOICES)
def test_an_operation_is_that_of_pillow(tf: Any, name: str, direction: int, shape: tuple[int, ...]) -> None:
    images, results = every_choice(shape)
    expected = np.stack([reference.operation(image, name, direction) for image in images])
    difference = np.abs(results[CHOICES.index((name, direction))] - expected)
    if name in ROUNDED:
        assert difference.max() <= 1
        assert np.mean(difference > 0) <= 0.02
    else:
        assert not difference.any()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_an_image(tf: Any, name: str) -> None:
    images = photographs((2, 32, 32, 3), seed=4)[1:] // 2 + 64
    one, other = (augmented(images, number_of(name, direction)) for direction in (1, -1))
    has_direction = name not in ("identity", "posterize", "solarize", "autocontrast", "equalize")
    assert np.array_equal(one, other) != has_direction
    assert np.array_equal(one, images) == (name == "identity")


def test_two_operations_are_one_after_the_other(tf: Any) -> None:
    images = photographs((448, 32, 32, 3), seed=5)
    numbers = numbers_for(AUGMENTATIONS["randaugment"], len(images))
    results = np.asarray(AUGMENTATIONS["randaugment"].apply(images, numbers))
    compared = set()
    for image, own, result in zip(images, numbers, results, strict=True):
        choices = [CHOICES[int(number * np.float32(28))] for number in own[3:]]
        if not ROUNDED & {name for name, _ in choices}:
            expected = reference.crop_flip(image, own)
            for name, direction in choices:
                expected = reference.operation(expected, name, direction)
            assert np.array_equal(result, expected), choices
            compared |= set(choices)
    assert len(compared) == 2 * (len(OPERATIONS) - len(ROUNDED))


def test_operations_and_directions_are_equally_likely(tf: Any) -> None:
    from trainer.augmentation.base import whole_number

    numbers = (np.arange(2800, dtype=np.float32) + 0.5) / 2800
    counts = np.bincount(np.asarray(whole_number(numbers, len(CHOICES))))
    assert counts.tolist() == [100] * 28
    assert [name for name, _ in CHOICES[::2]] == list(OPERATIONS) == [name for name, _ in CHOICES[1::2]]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_color_leaves_images_that_are_not_of_three_channels(tf: Any, channels: int) -> None:
    images = photographs((6, 12, 12, channels))
    for direction in (1, -1):
        assert np.array_equal(augmented(images, number_of("color", direction)), images)


def test_levels_stay_whole_numbers_of_8_bits(tf: Any) -> None:
    levels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1)
    numbers = np.array(
        [[*CENTRED, (first + 0.5) / 28, (second + 0.5) / 28] for first in range(28) for second in range(28)], np.float32
    )
    results = np.asarray(AUGMENTATIONS["randaugment"].apply(np.tile(levels, (28 * 28, 1, 1, 3)), numbers))
    assert np.array_equal(results, results.astype(np.uint8))
