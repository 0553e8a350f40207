"""A dataset's images for a backbone, in id order: their digest, and their pixels at its size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from datatools.format.metadata import SPLITS
from datatools.processors import usable_processors
from trainer.data import Images, TrainingData
from trainer.errors import TrainerError

BLOCK_BYTES = 8 << 20


def split_images(data: TrainingData, split: str) -> Images:
    """The images of "train" or "test"; nothing is held out."""
    return data.train_images if split == "train" else data.test_images


def images_sha256(data: TrainingData) -> str:
    """SHA-256 of a dataset's images alone: datasets that differ in labels, names and files share it.

    For each split a line "train N H W C", and the images in id order, each (H, W, C) uint8.
    """
    digest = hashlib.sha256()
    for split in SPLITS:
        images = split_images(data, split)
        digest.update(f"{split} {' '.join(map(str, images.shape))}\n".encode())
        step = max(1, BLOCK_BYTES // max(1, int(np.prod(images.shape[1:]))))
        for start in range(0, images.shape[0], step):
            rows = np.arange(start, min(start + step, images.shape[0]))
            digest.update(np.ascontiguousarray(images[rows]).data)
    return digest.hexdigest()


def check_channels(shape: tuple[int, ...]) -> None:
    """Raise TrainerError unless images of shape (H, W, C) are grey or coloured."""
    if shape[2] not in (1, 3):
        raise TrainerError(f"images of {shape[2]} channels: a backbone takes 1 or 3")


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """An image (H, W, 1 or 3) uint8 as (size, size, 3): Pillow's bicubic filter, which smooths what it makes smaller.

    Another aspect ratio is not kept. A single channel is repeated.
    """
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def batches(images: Images, size: int, batch_size: int) -> Iterator[np.ndarray]:
    """(B, size, size, 3) uint8 batches of one B, the next one prepared beside the use of this one.

    The last one is filled up with its last image.
    """
    check_channels(images.shape[1:])
    count = images.shape[0]
    starts = range(0, count, batch_size)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(usable_processors()) as resizers:

        def prepared(start: int) -> np.ndarray:
            rows = np.minimum(np.arange(start, start + batch_size), count - 1)
            return np.stack(list(resizers.map(lambda image: resized(image, size), images[rows])))

        ahead = reader.submit(prepared, 0) if count else None
        for start in starts:
            assert ahead is not None
            batch = ahead.result()
            if start + batch_size < count:
                ahead = reader.submit(prepared, start + batch_size)
            yield batch
