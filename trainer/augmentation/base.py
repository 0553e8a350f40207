"""The contract of an augmentation: a pure function of a mini-batch and of numbers drawn on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from datatools.seeding import stream
from trainer import ops
from trainer.ops import Tensor


@dataclass(frozen=True)
class Augmentation:
    """A line of the registry.

    Attributes:
        source: where it comes from: authors, title, venue; or the code.
        numbers: n, how many uniform numbers in [0, 1) an image takes.
        apply: maps images (B, H, W, C) float32 in 0…255 and numbers (B, n) float32 to augmented images of the same
            shape, dtype and range. It is written in `keras.ops`, draws nothing and keeps nothing, so that it gives the
            same images eagerly and compiled, in every engine. B may be unknown when it is traced.
    """

    name: str
    title: str
    source: str
    numbers: int
    apply: Callable[[Tensor, Tensor], Tensor]


def _unchanged(images: Tensor, numbers: Tensor) -> Tensor:
    return images


NONE = Augmentation("none", "images as they are", "SELFIE's experiments", 0, _unchanged)


def draw(
    augmentation: Augmentation,
    seed: int,
    run: int,
    epoch: int,
    steps: int,
    batch_size: int,
    first_step: int = 0,
    view: int = 0,
) -> np.ndarray:
    """The numbers of some steps of an epoch.

    A step's numbers depend on (seed, run, epoch, step, view) alone, however many steps are drawn at a time.

    Args:
        first_step: of the epoch, from 0; a later one where training resumes in the middle of an epoch.
        view: which of the views of each image, from 0, where a step looks at several.

    Returns:
        (steps, batch_size, n) float32 in [0, 1) with 24 random bits.

    Example:
        >>> from trainer.augmentation import AUGMENTATIONS
        >>> draw(AUGMENTATIONS["crop-flip"], seed=0, run=0, epoch=0, steps=4, batch_size=128).shape
        (4, 128, 3)
    """
    count = batch_size * augmentation.numbers
    numbers = np.empty((steps, count), np.float32)
    for step in range(steps):
        raw = stream(seed, "augmentation", run, epoch, first_step + step, view).random_raw(count)
        numbers[step] = np.asarray(raw, np.uint64) >> np.uint64(40)
    return (numbers * np.float32(2.0**-24)).reshape(steps, batch_size, augmentation.numbers)


def whole_number(numbers: Tensor, count: int) -> Tensor:
    """Uniform numbers in [0, 1) as integers, each of 0..count-1 with the same probability.

    In float32 the largest number below 1, times `count`, still rounds to less than `count`.

    Returns:
        int32 of the shape of `numbers`.
    """
    return ops.cast(ops.floor(numbers * float(count)), "int32")


def pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images made of pixels of `images`, as one gather.

    Args:
        images: (B, H, W, C). rows, columns: int32 that broadcast to (B, H, W), where in its image each pixel comes
            from; outside of the image it is 0.
    """
    height, width, channels = images.shape[1:]
    first = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (height * width)
    place = first + ops.clip(rows, 0, height - 1) * width + ops.clip(columns, 0, width - 1)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    picked = ops.take(ops.reshape(images, (-1, channels)), place, axis=0)
    return ops.where(inside[..., None], picked, ops.zeros_like(picked))
