"""Tiny noisy datasets with features, a tiny backbone, and runs of every method on features in a process of its own.

python -m tests.support.feature_runs ENGINE DATASET FEATURES FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from datatools.format.dataset import Dataset, open_dataset
from tests.support.tiny import examples, write_dataset
from trainer.config import resolve
from trainer.features.backbones import Backbone
from trainer.methods import METHODS
from trainer.reporters.base import Quiet
from trainer.training.loop import train

COUNT, TESTS, NUMBERS, CLASSES = 60, 24, 5, 3


def noisy(folder: Path, *, wrong: int = 4, depth: int = 1) -> Dataset:
    """60 small images of 3 classes; every `wrong`-th has the next label."""
    ids, clean, pixels = examples(COUNT)
    pixels = np.repeat(pixels, depth, axis=1)
    labels = np.where(np.arange(COUNT) % wrong == 0, (clean + 1) % CLASSES, clean)
    test_ids, test_labels, test_pixels = examples(TESTS, seed=1)
    tests = test_ids, test_labels, np.repeat(test_pixels, depth, axis=1)
    return write_dataset(folder, (ids, labels, pixels), tests, labels="noisy", clean_labels=clean, train_files=2)


def features(seed: int = 0) -> dict[str, np.ndarray]:
    """(N, D) float32 for each split: a number for each class, others that say nothing, one that never changes."""
    random = np.random.default_rng(seed)
    made = {}
    for split, count in (("train", COUNT), ("test", TESTS)):
        values = random.normal(50.0, 2.0, (count, NUMBERS)).astype(np.float32)
        values[np.arange(count), np.arange(count) % CLASSES] += 6
        values[:, -1] = 3.25
        made[split] = values
    return made


def save(folder: Path, seed: int = 0) -> Path:
    path = folder / "features.npz"
    np.savez(path, **features(seed))  # type: ignore[arg-type]
    return path


def tiny_backbone(name: str, size: int, weights: Path | None = None) -> Backbone:
    """Means over places of each channel, and of its square: features that are easily told."""
    import keras

    images = keras.Input((size, size, 3))
    pooled = keras.layers.GlobalAveragePooling2D()
    network = keras.Model(images, keras.ops.concatenate([pooled(images), pooled(images * images)], axis=-1))
    digest = "0" * 64 if weights is None else "1" * 64
    return Backbone(name, size, network, lambda pixels: pixels.astype(np.float32) / 255, digest)


def run(method: str, dataset: Dataset, directory: Path, features: Path | str, **settings: Any) -> dict[str, Any]:
    """A run of two epochs, its methods told that half of it is warm-up at most."""
    values = {"epochs": 2, "batch_size": 20, "device": "cpu", **settings}
    return train(resolve(method, dataset, features=str(features), **values), dataset, directory, Quiet())


def main(engine: str, dataset: str, features: str, folder: str) -> None:
    """Run every method; a line of JSON with what each ended with."""
    results = {}
    for method in METHODS:
        directory = Path(folder) / method
        results[method] = run(method, open_dataset(dataset), directory, features, engine=engine)["last_test_error"]
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
