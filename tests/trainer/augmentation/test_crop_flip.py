"""Crops, flips and holes, held to a few lines of NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.reference import augmentation as reference
from tests.support.augmented import SHAPES, numbers_for, photographs
from trainer.augmentation import AUGMENTATIONS

CENTRED = [4.5 / 9, 4.5 / 9, 0.75]
"""Numbers of a crop that shows the image itself, not flipped."""


def augmented(name: str, images: np.ndarray, numbers: Any) -> np.ndarray:
    result = np.asarray(AUGMENTATIONS[name].apply(images, np.asarray(numbers, np.float32)))
    assert result.dtype == np.float32
    return result


@pytest.mark.parametrize("name", ["crop-flip", "cutout"])
@pytest.mark.parametrize("case", SHAPES)
def test_images_are_those_of_numpy(tf: Any, name: str, case: str) -> None:
    images = photographs(SHAPES[case])
    numbers = numbers_for(AUGMENTATIONS[name], len(images))
    one_by_one = {"crop-flip": reference.crop_flip, "cutout": reference.cutout}[name]
    expected = np.stack([one_by_one(*pair) for pair in zip(images, numbers, strict=True)])
    assert np.array_equal(augmented(name, images, numbers), expected)


def test_every_crop_and_both_directions_come_equally_often(tf: Any) -> None:
    image = np.arange(1, 13, dtype=np.float32).reshape(1, 3, 4, 1)
    numbers = product((np.arange(9) + 0.5) / 9, (np.arange(9) + 0.5) / 9, (0.0, 0.5))
    crops = augmented("crop-flip", np.repeat(image, 2 * 81, axis=0), list(numbers))
    kinds, counts = np.unique(crops.reshape(2 * 81, -1), axis=0, return_counts=True)
    # of 81 offsets those 3 rows or 4 columns and more away show black alone: rows -2..2 and columns -3..3 are left
    assert len(kinds) == 2 * 5 * 7 + 1
    assert sorted(counts) == [*[1] * 70, 2 * 81 - 70]


def test_a_flip_comes_after_the_crop(tf: Any) -> None:
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    right_one = augmented("crop-flip", image, [[4.5 / 9, 5.5 / 9, 0.25]])
    assert right_one[0, :, :, 0].tolist() == [[0, 3, 2], [0, 6, 5], [0, 9, 8]]


@pytest.mark.parametrize(
    ("row", "column", "covered"),
    [(16, 16, 16 * 16), (0, 0, 8 * 8), (31, 31, 9 * 9), (0, 16, 8 * 16)],
    ids=["middle", "first corner", "last corner", "edge"],
)
def test_a_hole_is_half_the_side_and_clipped_at_the_border(tf: Any, row: int, column: int, covered: int) -> None:
    image = photographs((2, 32, 32, 3))[1:]
    result = augmented("cutout", image, [[*CENTRED, (row + 0.5) / 32, (column + 0.5) / 32]])
    changed = (result != image).any(axis=-1)[0]
    assert changed.sum() == covered
    assert changed[row, column]


@pytest.mark.parametrize("case", SHAPES)
def test_a_hole_is_0_once_the_image_is_standardised(tf: Any, case: str) -> None:
    from trainer.engine.step import standardise

    images = photographs(SHAPES[case], seed=2)
    numbers = numbers_for(AUGMENTATIONS["cutout"], len(images))
    without, result = augmented("crop-flip", images, numbers[:, :3]), augmented("cutout", images, numbers)
    hole = (without != result).all(axis=-1)
    assert hole.any() == (case != "pixel")
    assert np.abs(np.asarray(standardise(result))[hole]).max(initial=0.0) < 1e-4
