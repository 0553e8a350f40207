"""Random images with labels, of which the official files and datasets are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """Images with their labels: pixels (N, depth, height, width) uint8, labels (N,) int64 for each label set."""

    pixels: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.pixels)

    def part(self, start: int, end: int) -> Examples:
        return Examples(self.pixels[start:end], {name: values[start:end] for name, values in self.labels.items()})


@dataclass(frozen=True)
class ImageSet:
    """What a factory wrote: both splits, and the class names of each label set."""

    splits: dict[str, Examples]
    names: dict[str, tuple[str, ...]]


def examples(records: int, shape: tuple[int, int, int], classes: dict[str, int], seed: int) -> Examples:
    """Random pixels; labels go round the classes, so that every class is there when `records` allows."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (records, *shape), np.uint8)
    labels = {name: generator.permutation(np.arange(records) % count) for name, count in classes.items()}
    return Examples(pixels, labels)


def image_set(train: int, test: int, shape: tuple[int, int, int], classes: dict[str, int], seed: int) -> ImageSet:
    return ImageSet(
        {"train": examples(train, shape, classes, seed), "test": examples(test, shape, classes, seed + 1)},
        {name: tuple(f"{name}_{number}" for number in range(count)) for name, count in classes.items()},
    )
