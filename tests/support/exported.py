"""Where an export goes, and the arrays that it should hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datatools.export import EXPORTS
from datatools.format.dataset import Dataset
from tests.support.reader import read_split


def target(folder: Path, to: str, name: str = "out") -> Path:
    """A name that the format allows."""
    return folder / (name + (*EXPORTS[to].suffixes, "")[0])


def expected(dataset: Dataset, split: str) -> dict[str, np.ndarray]:
    """Arrays of a split from the independent reader; clean labels from the parent."""
    pixels = int(np.prod(dataset.metadata.image_shape))
    records = read_split(dataset.path, split, pixels)
    images = np.frombuffer(b"".join(record[2] for record in records), np.uint8)
    arrays = {
        "ids": np.array([record[0] for record in records]),
        "labels": np.array([record[1] for record in records]),
        "images": images.reshape(len(records), *dataset.metadata.image_shape).transpose(0, 2, 3, 1),
    }
    if dataset.metadata.labels != "unknown":
        parent = read_split(dataset.path.parent / "clean", split, pixels)
        arrays["clean_labels"] = np.array([record[1] for record in parent])
    return arrays
