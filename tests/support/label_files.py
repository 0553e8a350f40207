"""Label files as CIFAR-10N and CIFAR-100N have them, written without torch."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def pickled(columns: dict[str, Any]) -> bytes:
    """Protocol 2 with NumPy's old module name, as in the official files."""
    return pickle.dumps(columns, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def write_pt(path: Path, columns: dict[str, Any], data: bytes | None = None) -> Path:
    """A .pt file of `columns`, or of the pickle `data`: a zip of stored members in one folder, as torch writes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickled(columns) if data is None else data)
        archive.writestr(f"{path.stem}/version", b"3\n")
    return path


def write_npy(path: Path, columns: dict[str, Any]) -> Path:
    """A .npy file of `columns`: an array of objects with one item."""
    np.save(path, np.array(columns, object))
    return path


def human_columns(clean: np.ndarray, num_classes: int, seed: int = 0) -> dict[str, Any]:
    """Columns like those of CIFAR-10N: clean labels, and two of which a part is wrong."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {"clean_label": clean.astype(np.int64)}
    for name, share in (("aggre_label", 0.1), ("worse_label", 0.4)):
        wrong = generator.random(len(clean)) < share
        columns[name] = np.where(wrong, (clean + 1) % num_classes, clean).astype(np.int64)
    return columns


WRITERS: dict[str, Callable[[Path, dict[str, Any]], Path]] = {".pt": write_pt, ".npy": write_npy}
