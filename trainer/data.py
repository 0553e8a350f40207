"""A dataset directory -> arrays for the engine, and the order in which an epoch visits them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from datatools.dataset import Dataset
from datatools.manifest import read_manifest
from datatools.seeding import permutation
from trainer.errors import TrainerError


@dataclass(frozen=True)
class TrainingData:
    """Both splits of a dataset in memory, in id order.

    Attributes:
        train_images, test_images: (N, H, W, C) uint8. train_labels, test_labels: (N,) int32 as given.
        clean_labels: (N,) int32 where a manifest tells them or the labels are clean; for evaluation alone.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    clean_labels: np.ndarray | None
    num_classes: int

    @property
    def num_samples(self) -> int:
        return len(self.train_labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        _, height, width, channels = self.train_images.shape
        return height, width, channels


def load(dataset: Dataset) -> TrainingData:
    """Read both splits of a dataset.

    Raises:
        DataToolsError: batches or manifest are damaged, or do not belong together.
    """
    if dataset.metadata.num_classes < 2:
        raise TrainerError(f"{dataset.path}: has one class; there is nothing to tell apart, at least two are needed")
    train_images, train_labels = _split(dataset, "train")
    test_images, test_labels = _split(dataset, "test")
    return TrainingData(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        clean_labels=_clean_labels(dataset, train_labels),
        num_classes=dataset.metadata.num_classes,
    )


def _split(dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    metadata = dataset.metadata
    count = metadata.num_records(split)
    depth, height, width = metadata.image_shape
    images = np.empty((count, height, width, depth), np.uint8)
    labels = np.empty(count, np.int32)
    if not np.array_equal(np.sort(dataset.ids(split)), np.arange(count)):
        raise TrainerError(f"{dataset.path}: {split} ids are not 0..{count - 1}, each once; see `datatools verify`")
    for batch in dataset.batches(split):
        ids = batch["id"].astype(np.int64)
        images[ids] = batch["pixels"].transpose(0, 2, 3, 1)
        labels[ids] = batch["label"]
    if count and not 0 <= labels.min() <= labels.max() < metadata.num_classes:
        raise TrainerError(
            f"{dataset.path}: {split} labels outside 0..{metadata.num_classes - 1}; see `datatools verify`"
        )
    return images, labels


def _clean_labels(dataset: Dataset, train_labels: np.ndarray) -> np.ndarray | None:
    if dataset.metadata.labels == "clean":
        return train_labels
    if dataset.metadata.labels == "unknown":
        return None
    manifest = read_manifest(dataset.manifest_path, len(train_labels), dataset.metadata.num_classes)
    differing = np.flatnonzero(manifest.noisy_labels != train_labels)
    if len(differing):
        raise TrainerError(
            f"{dataset.manifest_path}: belongs to other labels ({len(differing):,} differ, first at id "
            f"{differing[0]}); see `datatools verify`, and corrupt the parent again"
        )
    return manifest.clean_labels


def epoch_order(num_samples: int, batch_size: int, seed: int, run: int, epoch: int) -> Iterator[np.ndarray]:
    """The mini-batches of one epoch: every sample once, in an order that is a function of (seed, run, epoch).

    ceil(N / batch_size) mini-batches whose sizes differ by at most one, none above `batch_size`: so there is no
    small last one, whose batch norm and clean set would be chance.

    Yields:
        One or two (steps, B) int32 arrays of sample indices, of different B.
    """
    order = permutation(seed, "epoch order", num_samples, run, epoch).astype(np.int32)
    steps = -(-num_samples // batch_size)
    small, larger = divmod(num_samples, steps)
    split = larger * (small + 1)
    if larger:
        yield order[:split].reshape(larger, small + 1)
    yield order[split:].reshape(steps - larger, small)
