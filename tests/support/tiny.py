"""Datasets, settings and engines small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import Manifest, realised_matrix, realised_rate, write_manifest
from datatools.format.metadata import DATASET_FILE, BatchFile, Metadata
from datatools.format.records import ImageShape, RecordWriter
from trainer.config import RunConfig
from trainer.data import TrainingData
from trainer.methods.base import Method

Examples = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Ids, labels and (N, depth, height, width) uint8 pixels of one split, in record order."""
SHAPE = ImageShape(1, 8, 8)


def metadata(num_classes: int = 3, labels: str = "clean", realised: float = 0.25) -> Metadata:
    """What dataset.json of a tiny dataset says, as yet without batch files."""
    noise = {"type": "pair", "rate": 0.2, "realised_rate": realised, "parent": {"name": "tiny", "sha256": "0" * 64}}
    return Metadata(
        name="tiny",
        image_shape=SHAPE,
        class_names=tuple(f"class {number}" for number in range(num_classes)),
        splits={"train": (), "test": ()},
        source={"name": "test", "location": "test", "sha256": None},
        labels=labels,
        noise=noise if labels == "noisy" else None,
    )


def examples(count: int, num_classes: int = 3, shape: ImageShape = SHAPE, seed: int = 0) -> Examples:
    """Noise with a bright row, whose place tells the class; labels take turns."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    pixels = random.integers(0, 120, (count, *shape), dtype=np.uint8)
    # (a mere difference in brightness would be lost to standardisation)
    for number, label in enumerate(labels):
        pixels[number, :, label * shape.height // num_classes] += 100
    return np.arange(count), labels, pixels


def write_dataset(
    directory: Path,
    train: Examples,
    test: Examples,
    *,
    num_classes: int = 3,
    labels: str = "clean",
    clean_labels: np.ndarray | None = None,
    train_files: int = 1,
) -> Dataset:
    """A dataset directory, and for `clean_labels` its manifest; nothing is checked, so it can be a broken one.

    Args:
        clean_labels: (N,) in id order. train_files: over how many batch files the training records are spread.
    """
    directory.mkdir(parents=True)
    shape = ImageShape(*train[2].shape[1:])
    parts = [tuple(np.array_split(column, train_files)) for column in train]
    splits = {
        "train": tuple(
            _write_batch(directory / f"data_batch_{number}.bin", part, shape)
            for number, part in enumerate(zip(*parts, strict=True), 1)
        ),
        "test": (_write_batch(directory / "test_batch.bin", test, shape),),
    }
    noisy = np.empty_like(train[1])
    noisy[np.argsort(np.argsort(train[0]))] = train[1]
    base = metadata(num_classes, labels)
    if clean_labels is not None:
        _write_clean_labels(directory / "manifest.h5", clean_labels, noisy, num_classes)
        assert base.noise is not None
        base.noise["realised_rate"] = realised_rate(clean_labels, noisy)
    made = Metadata(**{**vars(base), "name": directory.name, "image_shape": shape, "splits": splits})
    (directory / DATASET_FILE).write_text(made.to_json(), encoding="utf-8")
    return open_dataset(directory)


def _write_batch(path: Path, batch: Examples, shape: ImageShape) -> BatchFile:
    with RecordWriter(path, shape) as writer:
        writer.write(*batch)
    return BatchFile(path.name, writer.records, writer.sha256)


def _write_clean_labels(path: Path, clean: np.ndarray, noisy: np.ndarray, num_classes: int) -> None:
    manifest = Manifest(
        ids=np.arange(len(clean), dtype=np.uint32),
        clean_labels=clean.astype(np.int32),
        noisy_labels=noisy.astype(np.int32),
        realised_matrix=realised_matrix(clean, noisy, num_classes),
        transition_matrix=None,
        noise_type="pair",
        rate=0.2,
        realised_rate=realised_rate(clean, noisy),
        sampling="exact",
        seed=0,
    )
    write_manifest(path, manifest)


def training_data(count: int = 60, size: int = 8, depth: int = 1, num_classes: int = 3) -> TrainingData:
    """Images in memory; a quarter of the training labels is wrong."""
    shape = ImageShape(depth, size, size)
    _, clean, pixels = examples(count, num_classes, shape, seed=1)
    _, test_labels, test_pixels = examples(count // 2, num_classes, shape, seed=2)
    wrong = np.arange(count) % 4 == 0
    return TrainingData(
        train_images=pixels.transpose(0, 2, 3, 1).copy(),
        train_labels=np.where(wrong, (clean + 1) % num_classes, clean).astype(np.int32),
        test_images=test_pixels.transpose(0, 2, 3, 1).copy(),
        test_labels=test_labels.astype(np.int32),
        clean_labels=clean.astype(np.int32),
        num_classes=num_classes,
    )


def run_config(method: str = "default", network: str = "small-cnn", epochs: int = 4, **settings: Any) -> RunConfig:
    values: dict[str, Any] = {
        "preset": "quick",
        "batch_size": 10,
        "learning_rate": 0.05,
        "drop_epochs": (2, 3),
        "noise_rate": 0.25,
        "noise_rate_from": "test",
        "seed": 0,
        "engine": "tensorflow",
        "method_settings": {},
    }
    return RunConfig.from_json({"method": method, "network": network, "epochs": epochs, **values, **settings})


def tensorflow_engine(
    config: RunConfig, data: TrainingData, method: Method | None = None, compile: bool | None = False
) -> Any:
    """The TensorFlow engine, uncompiled where nothing else is asked for."""
    from trainer.engine import load_backend

    load_backend("tensorflow")
    from trainer.engine.tensorflow import TensorFlowEngine

    return TensorFlowEngine(config, method or config.make_method(), data, compile=compile)


def batches(data: TrainingData, config: RunConfig, run: int, epoch: int) -> np.ndarray:
    """(steps, B) int32 rows of an epoch."""
    from trainer.data import epoch_order

    return epoch_order(data.num_samples, config.batch_size, config.seed, run, epoch)
