"""Features: what another network has made of each image, which a small network can be trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1 << 12


@dataclass(frozen=True)
class Features:
    """The features of a dataset, those of id i at i.

    Attributes:
        train: (N, D) float32, finite. test: (M, D), the same.
        sha256: of both splits' shapes and numbers, in float32: whatever file and type they are kept in.
        path: where they were read. backbone: what made them, as the file tells it (`trainer.features.file`), or None.
    """

    train: np.ndarray
    test: np.ndarray
    sha256: str
    path: Path
    backbone: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        """D."""
        return int(self.train.shape[1])


@dataclass(frozen=True)
class Scaling:
    """What features are standardised by: each of the D numbers over all training samples.

    Attributes:
        mean, stddev: (D,) float32; a number that is the same for all samples has stddev 1.
    """

    mean: np.ndarray
    stddev: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Scaling:
        """That of (N, D) features; N is at least 1."""
        mean = features.mean(axis=0, dtype=np.float64)
        squares = np.zeros_like(mean)
        for start in range(0, len(features), BLOCK):  # float64 of all samples would be twice the features
            squares += np.square(features[start : start + BLOCK] - mean).sum(axis=0)
        stddev = np.sqrt(squares / len(features))
        # below what float32 tells apart beside the mean, a difference is rounding
        constant = stddev <= np.finfo(np.float32).eps * np.abs(mean)
        return cls(mean.astype(np.float32), np.where(constant, 1.0, stddev).astype(np.float32))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(N, D) features, standardised: (x - mean) / stddev, float32."""
        return np.asarray((features.astype(np.float32) - self.mean) / self.stddev, np.float32)
