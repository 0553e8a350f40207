"""Datasets to export."""

from __future__ import annotations

from pathlib import Path

import pytest

from datatools.format.dataset import Dataset
from tests.support.factories import clean_dataset, noisy_dataset

SHAPE = (3, 8, 8)


@pytest.fixture
def noisy(tmp_path: Path) -> Dataset:
    return noisy_dataset(clean_dataset(tmp_path / "data" / "clean", train=40, test=10))


@pytest.fixture(params=["clean", "noisy", "unknown"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    labels = "unknown" if request.param == "unknown" else "clean"
    made = clean_dataset(tmp_path / "data" / "clean", train=40, test=10, shape=SHAPE, labels=labels)
    return noisy_dataset(made) if request.param == "noisy" else made
