"""How images, or features, get to an engine: whole splits in batches of one shape, or block by block as they go."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from trainer.data import Images, TrainingData

EVALUATION_BATCH = 500
STREAM_SHARE = 8
"""Streaming keeps this share of the memory budget, one in so many, for each block of images under way."""


class ImageFeed:
    """The images of a run.

    Attributes:
        budget: bytes of the device that images may take, None for no limit. streams: whether they are more than that.
        evaluation_batch: images evaluated at a time: one size for all splits, and for the largest one hardly a place
            left empty.
    """

    def __init__(self, data: TrainingData, device_memory: int | None) -> None:
        """`device_memory`: MiB, or None for no limit."""
        self.data = data
        self.budget = None if device_memory is None else device_memory << 20
        images = (data.train_images, data.test_images, data.validation_images)
        size = sum(part.nbytes for part in images if part is not None)
        self.streams = self.budget is not None and size > self.budget
        largest = max(len(self.held_out(split)[1]) for split in data.held_out)
        batches = -(-largest // EVALUATION_BATCH)
        self.evaluation_batch = max(1, -(-largest // max(1, batches)))

    def held_out(self, split: str) -> tuple[Images, np.ndarray]:
        """Images and labels of "test" or "validation"."""
        if split == "test":
            return self.data.test_images, self.data.test_labels
        assert self.data.validation_images is not None, "no validation split"
        assert self.data.validation_labels is not None
        return self.data.validation_images, self.data.validation_labels

    def held_out_batches(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(B, H, W, C) uint8 images and (B,) int32 labels of a split, all of one shape.

        The last mini-batch is filled up with images of label -1, which `step.evaluation_sums` does not count.
        """
        images, labels = self.held_out(split)
        size = self.evaluation_batch
        for start in range(0, len(labels), size):
            rows = np.arange(start, min(start + size, len(labels)))
            missing = size - len(rows)
            filled = np.concatenate([rows, np.repeat(rows[-1:], missing)])
            yield images[filled], np.concatenate([labels[rows], np.full(missing, -1, labels.dtype)])

    def blocks(self, indices: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The mini-batches with their images, read ahead by one block, for a dataset that is not on the device.

        Args:
            indices: (steps, B) int32.

        Yields:
            (s, B) int32 indices and (s, B, H, W, C) uint8 images, of as many steps as the budget takes.
        """
        assert self.budget is not None
        sample_bytes = self.data.train_images.dtype.itemsize * int(np.prod(self.data.image_shape))
        step_bytes = indices.shape[1] * sample_bytes
        size = max(1, self.budget // STREAM_SHARE // step_bytes)
        parts = [indices[start : start + size] for start in range(0, len(indices), size)]
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._read, parts[0])
            for part, following in zip(parts, [*parts[1:], None], strict=True):
                images = ahead.result()
                if following is not None:
                    ahead = reader.submit(self._read, following)
                yield part, images

    def _read(self, indices: np.ndarray) -> np.ndarray:
        return self.data.train_images[indices.reshape(-1)].reshape(*indices.shape, *self.data.image_shape)
