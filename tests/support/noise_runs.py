"""Tiny datasets whose noise is to be estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datatools.format.dataset import Dataset
from tests.support.tiny import examples, write_dataset

FAST: dict[str, Any] = {"network": "small-cnn", "epochs": 2, "batch_size": 16, "learning_rate": 0.05, "seed": 0}


def noisy(folder: Path, count: int = 60, labels: str = "noisy") -> Dataset:
    """Images of 3 classes, every fourth with the next label."""
    ids, clean, pixels = examples(count)
    labels_in_file = np.where(np.arange(count) % 4 == 0, (clean + 1) % 3, clean)
    more: dict[str, Any] = {"labels": "noisy", "clean_labels": clean} if labels == "noisy" else {"labels": labels}
    return write_dataset(folder, (ids, labels_in_file, pixels), examples(6), train_files=2, **more)
